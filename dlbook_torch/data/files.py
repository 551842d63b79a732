"""The raw files of a data set: where they may lie, whether they are whole, how they are fetched."""

import gzip
import os
import shutil
import socket
import tarfile
import zlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from http.client import HTTPException
from pathlib import Path
from queue import Empty, SimpleQueue
from tempfile import TemporaryDirectory
from threading import Thread
from time import monotonic
from urllib.error import HTTPError
from urllib.request import urlopen

from torchvision.datasets.utils import calculate_md5

CACHE = "~/.cache/dlbook_torch"
PATIENCE = 10.0  # seconds without a sign of life until a download is given up


def data_root(data_dir: str | None = None) -> Path:
    """``data_dir``, else what the environment variable ``DLBOOK_DATA`` names, else the cache."""
    return Path(data_dir or os.environ.get("DLBOOK_DATA") or CACHE).expanduser()


@dataclass(frozen=True)
class RawFiles:
    """What a data set consists of.

    Args:
        name: of the data set.
        md5: checksum of the uncompressed content by file name.
        places: folders below the data directory (or absolute ones) in the order of search;
            downloads go to the first.
        gz: a file may also be there compressed, with ``.gz`` after its name.
        package: Debian package that installs the files.
    """

    name: str
    md5: dict[str, str]
    places: tuple[str, ...]
    gz: bool = False
    package: str | None = None

    def locate(self, root: Path, because: str = "") -> Path:
        """The first folder that has every file.

        Raises: FileNotFoundError that says what was looked for, where, and the ways to provide it.
        """
        folders = [root / place for place in self.places]
        for folder in folders:
            if all(self._path(folder, name) for name in self.md5):
                return folder
        hint = f", or install the Debian package {self.package}" if self.package else ""
        raise FileNotFoundError(
            f"{self.name} ({', '.join(self.md5)}{'; raw or .gz' if self.gz else ''}) "
            f"is not in {' or '.join(map(str, folders))}{because}: "
            f"set data_dir or DLBOOK_DATA to the folder that holds {self.places[0]}{hint}"
        )

    def _path(self, folder: Path, name: str) -> Path | None:
        names = (name, f"{name}.gz") if self.gz else (name,)
        return next((folder / n for n in names if (folder / n).is_file()), None)

    @contextmanager
    def checked(self, folder: Path, name: str) -> Iterator[Path]:
        """The uncompressed file, once its content is known to be the right one.

        Raises: ValueError with file, expected and found checksum if it is damaged.
        """
        path = self._path(folder, name) or folder / name
        with TemporaryDirectory() as scratch:
            try:
                raw = _unzipped(path, Path(scratch)) if path.suffix == ".gz" else path
                found = calculate_md5(raw)
            except (EOFError, gzip.BadGzipFile, zlib.error) as error:
                found = f"none ({error})"
            if found != self.md5[name]:
                raise ValueError(
                    f"{path} is damaged: the md5 of its content should be {self.md5[name]} "
                    f"but is {found}; replace it, or delete it to have it downloaded again"
                )
            yield raw

    def fetch(
        self, root: Path, urls: Sequence[str], download: Callable[[str, str], object]
    ) -> None:
        """Let ``download(folder, url)`` get the files and put them into the first place.

        ``url`` is the one that answered first. The files are moved in once all are complete, so a
        failed download leaves nothing behind, not even an empty folder. It is given up after
        ``PATIENCE`` seconds if nobody answers, after at most twice that if a server falls silent.

        Raises: FileNotFoundError as :meth:`locate`, with the reason of the failure.
        """
        target = root / self.places[0]
        neighbour = next(folder for folder in (target, *target.parents) if folder.is_dir())
        try:
            url = first_answer(urls, PATIENCE)
            with (
                _socket_timeout(PATIENCE),
                _unpacked_inside(),
                TemporaryDirectory(prefix=".download-", dir=neighbour) as scratch,
            ):
                download(scratch, url)
                target.mkdir(parents=True, exist_ok=True)
                for name in self.md5:
                    os.replace(Path(scratch, self.places[0], name), target / name)
                return
        except (OSError, RuntimeError, HTTPException, tarfile.TarError) as error:
            reason = " ".join(str(error).split())
        self.locate(root, f" and could not be downloaded ({reason})")


def _unzipped(path: Path, folder: Path) -> Path:
    with gzip.open(path) as source, open(folder / path.stem, "wb") as target:
        shutil.copyfileobj(source, target)
    return folder / path.stem


@contextmanager
def _socket_timeout(seconds: float) -> Iterator[None]:
    """Give every new socket a time limit; torchvision sets none and would wait for ever."""
    before = socket.getdefaulttimeout()
    socket.setdefaulttimeout(seconds)
    try:
        yield
    finally:
        socket.setdefaulttimeout(before)


@contextmanager
def _unpacked_inside() -> Iterator[None]:
    """Refuse a tar archive with files outside its folder; torchvision would write them."""
    before = tarfile.TarFile.extraction_filter
    tarfile.TarFile.extraction_filter = staticmethod(tarfile.data_filter)
    try:
        yield
    finally:
        tarfile.TarFile.extraction_filter = before


def first_answer(urls: Sequence[str], seconds: float) -> str:
    """Ask all addresses at once and return the one that answers first.

    The threads bound the time as a whole, which a socket's timeout does not: it leaves out the
    name server, and starts anew with every address of a host.

    Raises: ConnectionError if all refuse; TimeoutError if none answers in time.
    """
    answers: SimpleQueue[tuple[str, Exception | None]] = SimpleQueue()
    for url in urls:
        Thread(
            target=lambda url=url: answers.put((url, _ask(url, 2 * seconds))), daemon=True
        ).start()
    deadline, refusals = monotonic() + seconds, []
    for _ in urls:
        try:
            url, error = answers.get(timeout=max(0, deadline - monotonic()))
        except Empty:
            raise TimeoutError(f"no answer from {', '.join(urls)} in {seconds:g} s") from None
        if error is None:
            return url
        refusals.append(f"{url}: {error}")
    raise ConnectionError("; ".join(refusals))


def _ask(url: str, seconds: float) -> Exception | None:
    try:
        with urlopen(url, timeout=seconds):
            return None
    except HTTPError as error:  # also an answer
        error.close()
        return None
    except (OSError, HTTPException) as error:
        return error
