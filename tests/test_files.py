"""The raw files: found where they may lie, refused when damaged, fetched whole or not at all."""

import contextlib
import gzip
import shutil
import socket
import threading
import time
from dataclasses import replace
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer

import pytest
import torch
from torchvision import datasets
from torchvision.datasets.utils import calculate_md5

from dlbook_torch import data
from dlbook_torch.data import files
from tests.idx import use_cifar10, use_mnist, write_mnist


def load(datamodule, **options):
    module = datamodule(**options)
    module.prepare_data()
    return module.read(train=True), module.read(train=False)


def contents(folder):
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*"))


@pytest.mark.parametrize("gz", [False, True])
@pytest.mark.parametrize("name", ["MNIST", "FashionMNIST"])
def test_torchvisions_layout_is_read_as_torchvision_reads_it(tmp_path, monkeypatch, name, gz):
    module = use_mnist(monkeypatch, tmp_path, name, gz=gz)
    before = contents(tmp_path)
    parts = load(module, download=False)
    assert contents(tmp_path) == before
    write_mnist(tmp_path, name)
    for (x, t), train in zip(parts, (True, False), strict=True):
        theirs = getattr(datasets, name)(tmp_path, train=train)
        assert x.shape == (len(theirs), 1, 28, 28)
        assert torch.equal(x[:, 0], theirs.data)
        assert torch.equal(t, theirs.targets)


def test_debians_flat_folder_is_found(tmp_path, monkeypatch):
    module = use_mnist(monkeypatch, tmp_path / "elsewhere", "FashionMNIST", gz=True)
    debian = (tmp_path / "elsewhere/FashionMNIST/raw").rename(tmp_path / "fashion-mnist")
    (expected, _), _ = load(module, data_dir=str(debian), download=False)
    assert "/usr/share/datasets/fashion-mnist" in module.files.places
    places = (*module.files.places[:-1], str(debian))
    monkeypatch.setattr(module, "files", replace(module.files, places=places))
    (x, _), _ = load(module, data_dir=str(tmp_path / "nowhere"), download=False)
    assert torch.equal(x, expected)


def test_cifar10_is_read_as_torchvision_reads_it(tmp_path, monkeypatch):
    for (x, t), train in zip(load(use_cifar10(monkeypatch, tmp_path)), (True, False), strict=True):
        theirs = datasets.CIFAR10(tmp_path, train=train)
        assert x.shape == (len(theirs), 3, 32, 32)
        assert torch.equal(x.permute(0, 2, 3, 1), torch.from_numpy(theirs.data))
        assert t.tolist() == theirs.targets


def test_data_root(monkeypatch, tmp_path):
    monkeypatch.setenv("DLBOOK_DATA", "/b")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert str(files.data_root("/a")) == "/a"
    assert str(files.data_root()) == "/b"
    monkeypatch.delenv("DLBOOK_DATA")
    assert files.data_root() == tmp_path / ".cache/dlbook_torch"


@pytest.mark.parametrize("name", ["MNIST", "FashionMNIST", "CIFAR10"])
def test_missing_files_are_one_sentence(tmp_path, name):
    module = getattr(data, name)(data_dir=str(tmp_path / "nowhere"), download=False)
    with pytest.raises(FileNotFoundError) as error:
        module.prepare_data()
    text = str(error.value)
    wanted = [name, module.files.places[0], next(iter(module.files.md5)), "data_dir", "DLBOOK_DATA"]
    wanted += ["Debian package dataset-fashion-mnist"] if name == "FashionMNIST" else []
    assert all(word in text for word in wanted)
    assert "\n" not in text
    assert contents(tmp_path) == []


def damage(path, how):
    raw = path.read_bytes()
    flipped = bytes([raw[100] ^ 1])
    kinds = {"cut": raw[:-7], "flipped": raw[:100] + flipped + raw[101:], "empty": b""}
    path.write_bytes(kinds[how])


@pytest.mark.parametrize("how", ["cut", "flipped", "empty"])
@pytest.mark.parametrize("gz", [False, True])
def test_damaged_idx_files_are_refused(tmp_path, monkeypatch, gz, how):
    module = use_mnist(monkeypatch, tmp_path, gz=gz)
    path = tmp_path / f"MNIST/raw/t10k-images-idx3-ubyte{'.gz' if gz else ''}"
    damage(path, how)
    expected = module.files.md5["t10k-images-idx3-ubyte"]
    with pytest.raises(ValueError, match=f"{path} is damaged.* {expected} but is ") as error:
        load(module)
    if not gz:
        assert calculate_md5(path) in str(error.value)


def test_damaged_cifar_file_is_refused(tmp_path, monkeypatch):
    module = use_cifar10(monkeypatch, tmp_path)
    damage(tmp_path / "cifar-10-batches-py/data_batch_3", "flipped")
    with pytest.raises(ValueError, match="data_batch_3 is damaged"):
        load(module)


def test_published_checksums_agree_with_torchvision():
    """torchvision knows the md5 of the compressed MNIST files only; the names are the same."""
    for module, theirs in (
        (data.MNIST, datasets.MNIST),
        (data.FashionMNIST, datasets.FashionMNIST),
    ):
        assert list(module.files.md5) == [name.removesuffix(".gz") for name, _ in theirs.resources]
    assert len({*data.MNIST.files.md5.values(), *data.FashionMNIST.files.md5.values()}) == 8


@pytest.fixture
def silent():
    """Address of a server that takes the call and never says a word."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield f"http://127.0.0.1:{server.getsockname()[1]}/"


@pytest.fixture
def mirror(tmp_path, monkeypatch):
    """A mirror with small files, which :class:`~dlbook_torch.data.MNIST` then expects."""
    site = tmp_path / "site"
    use_mnist(monkeypatch, site, gz=True)
    folder = site / "MNIST/raw"
    resources = [(path.name, calculate_md5(path)) for path in sorted(folder.iterdir())]
    monkeypatch.setattr(datasets.MNIST, "resources", resources)

    class Quiet(SimpleHTTPRequestHandler):
        def log_message(self, *args):
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=folder)) as server:
        threading.Thread(target=server.serve_forever, args=[0.01], daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}/", folder
        server.shutdown()


@pytest.fixture
def refused():
    """Address where nobody listens."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    return f"http://127.0.0.1:{port}/"


def test_download(tmp_path, monkeypatch, mirror, refused, silent):
    url, folder = mirror
    monkeypatch.setattr(files, "PATIENCE", 5.0)
    monkeypatch.setattr(datasets.MNIST, "mirrors", [silent, refused, url])
    target, start = tmp_path / "new/data", time.monotonic()
    (x, _), _ = load(data.MNIST, data_dir=str(target))
    assert time.monotonic() - start < 5  # the silent mirror is not waited for
    raw = gzip.decompress((folder / "train-images-idx3-ubyte.gz").read_bytes())
    assert x.numpy().tobytes() == raw[16:]
    names = [f"MNIST/raw/{name}" for name in data.MNIST.files.md5]
    assert contents(target) == sorted(["MNIST", "MNIST/raw", *names])  # and nothing else
    assert socket.getdefaulttimeout() is None
    shutil.rmtree(folder)
    load(data.MNIST, data_dir=str(target))  # is there now: no second download


def failed_download(tmp_path, monkeypatch, mirrors):
    """The sentence, and how long it took; nothing may be left behind."""
    monkeypatch.setattr(files, "PATIENCE", 0.4)
    monkeypatch.setattr(datasets.MNIST, "mirrors", mirrors)
    before, start = contents(tmp_path), time.monotonic()
    with pytest.raises(FileNotFoundError, match="could not be downloaded") as error:
        data.MNIST(data_dir=str(tmp_path / "new/data")).prepare_data()
    assert contents(tmp_path) == before
    assert "\n" not in str(error.value)
    assert socket.getdefaulttimeout() is None
    return str(error.value), time.monotonic() - start


def test_refused_download(tmp_path, monkeypatch, refused):
    text, seconds = failed_download(tmp_path, monkeypatch, [refused, refused])
    assert "refused" in text
    assert seconds < 0.4


def test_silent_network(tmp_path, monkeypatch, silent, refused):
    text, seconds = failed_download(tmp_path, monkeypatch, [silent, refused, silent])
    assert f"no answer from {silent}" in text
    assert 0.4 <= seconds < 1


def test_server_that_falls_silent(tmp_path, monkeypatch):
    """It answers, announces a file, and sends a part of it only."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        answer = b"HTTP/1.0 200 OK\r\nContent-Length: 1000\r\n\r\npart"

        def serve():
            with contextlib.ExitStack() as calls, contextlib.suppress(OSError):
                while True:
                    call = calls.enter_context(server.accept()[0])
                    call.recv(1000)
                    call.sendall(answer)

        threading.Thread(target=serve, daemon=True).start()
        url = f"http://127.0.0.1:{server.getsockname()[1]}/"
        text, seconds = failed_download(tmp_path, monkeypatch, [url])
        server.shutdown(socket.SHUT_RDWR)
    assert "timed out" in text
    assert seconds < 2


def test_wrong_content_from_the_mirror(tmp_path, monkeypatch, mirror):
    url, folder = mirror
    damage(folder / "train-images-idx3-ubyte.gz", "cut")
    text, _ = failed_download(tmp_path, monkeypatch, [url])
    assert "corrupted" in text
