"""Open a run in a real TensorBoard, look at its pages with headless Chromium, and keep pictures.

python scripts/screenshot.py runs/digits_convnet/version_0 --out pictures
"""

import argparse
import base64
import json
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from socket import socket, socketpair
from tempfile import TemporaryDirectory
from typing import Any
from urllib.parse import urlsplit
from urllib.request import urlopen

from dlbook_torch.training.logger import board_url

PAGES = ("timeseries", "custom_scalars", "scalars", "images", "text", "hparams")
PATIENCE = 60.0  # seconds until a program that does not get ready is given up
BROWSERS = ("chromium", "chromium-browser", "google-chrome")
FLAGS = [
    "--headless=new",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--hide-scrollbars",
    "--remote-debugging-pipe",
]
# Chromium reads the protocol from descriptor 3 and writes it to 4.
PLUMB = """
import os, sys
os.dup2(int(sys.argv[1]), 3)
os.dup2(int(sys.argv[1]), 4)
os.execv(sys.argv[2], sys.argv[2:])
"""
FILTER = {"scalars": "&tagFilter=^(loss|accuracy|lr)$"}  # other groups start folded
CLOSE_SETTINGS = "document.querySelector('[aria-label=\"Close side pane\"]')?.click()"


class Page:
    """A page of a browser, driven by the devtools protocol.

    Chromium's own ``--screenshot`` draws on a virtual clock, which leaves charts empty now and
    then. Here real time passes until the page has looked the same three times in a row.
    """

    def __init__(self, channel: socket):
        self._channel, self._unread, self._calls = channel, b"", 0
        self._session: dict[str, str] = {}
        target = self.call("Target.createTarget", url="about:blank")["targetId"]
        attached = self.call("Target.attachToTarget", targetId=target, flatten=True)
        self._session = {"sessionId": attached["sessionId"]}
        size = {"width": 1500, "height": 1000, "deviceScaleFactor": 1, "mobile": False}
        self.call("Emulation.setDeviceMetricsOverride", **size)

    def call(self, method: str, **params: Any) -> dict[str, Any]:
        """Ask the browser for something and return its answer.

        Raises: RuntimeError with what the browser says against it.
        """
        self._calls += 1
        request = {"id": self._calls, "method": method, "params": params} | self._session
        self._channel.sendall(json.dumps(request).encode() + b"\0")
        while (message := self._receive()).get("id") != self._calls:
            pass
        if "error" in message:
            raise RuntimeError(f"{method} failed: {message['error']['message']}")
        return message["result"]

    def _receive(self) -> dict[str, Any]:
        while b"\0" not in self._unread:
            part = self._channel.recv(1 << 20)
            if not part:
                raise RuntimeError("the browser has ended")
            self._unread += part
        message, _, self._unread = self._unread.partition(b"\0")
        return json.loads(message)

    def show(self, url: str) -> None:
        """Load an address anew."""
        self.call("Page.navigate", url="about:blank")  # another hash alone would load nothing
        self.call("Page.navigate", url=url)

    def picture(self) -> bytes:
        """Return the page as PNG once nothing moves on it any more."""
        looks: list[str] = []

        def at_rest() -> bool:
            looks.append(self._look())
            return looks[-1] != "" and len(looks) > 3 and len(set(looks[-3:])) == 1

        wait_for(at_rest, "the page", pause=0.7)
        return base64.b64decode(looks[-1])

    def _look(self) -> str:
        try:
            self.call("Runtime.evaluate", expression=CLOSE_SETTINGS)
            return self.call("Page.captureScreenshot", format="png")["data"]
        except RuntimeError:  # between two documents there is nothing to see
            return ""


def wait_for(ready: Callable[[], bool], name: str, pause: float = 0.3) -> None:
    """Ask again and again until ``ready()``.

    Raises: TimeoutError after ``PATIENCE`` seconds.
    """
    deadline = time.monotonic() + PATIENCE
    while not ready():
        if time.monotonic() > deadline:
            raise TimeoutError(f"{name} was not ready after {PATIENCE:g} s")
        time.sleep(pause)


@contextmanager
def running(command: Sequence[str], **options: Any) -> Iterator[subprocess.Popen]:
    """Run a program for as long as the block lasts."""
    with subprocess.Popen(command, text=True, **options) as process:
        try:
            yield process
        finally:
            process.terminate()


@contextmanager
def browser() -> Iterator[Page]:
    """Start Chromium with a fresh profile and open a page.

    Raises: FileNotFoundError if it is not installed.
    """
    program = next(filter(None, map(shutil.which, BROWSERS)), None)
    if program is None:
        raise FileNotFoundError(f"none of {', '.join(BROWSERS)} is installed")
    ours, theirs = socketpair()
    ours.settimeout(PATIENCE)
    end = theirs.fileno()
    with TemporaryDirectory(ignore_cleanup_errors=True) as profile, ours, theirs:
        command = [sys.executable, "-c", PLUMB, str(end), program, *FLAGS]
        command += [f"--user-data-dir={profile}"]
        quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
        with running(command, pass_fds=(end,), **quiet):
            yield Page(ours)


@contextmanager
def tensorboard(folder: Path) -> Iterator[int]:
    """Serve a folder to this machine alone, on a free port, which is yielded."""
    folder = folder.resolve()  # by its name alone: the pages show what --logdir says
    command = [sys.executable, "-m", "tensorboard.main", "--logdir", folder.name]
    command += ["--host", "127.0.0.1", "--port", "0", "--load_fast", "false"]
    with running(command, cwd=folder.parent, stderr=subprocess.PIPE) as process:
        for line in process.stderr or ():
            if " at http://" in line:
                yield urlsplit(line.split(" at ")[1].split()[0]).port or 0
                return
    raise RuntimeError(f"TensorBoard ended with exit code {process.returncode}")


def has_data(port: int, page: str) -> bool:
    """Whether TensorBoard has loaded something to show on a page."""
    with urlopen(f"http://127.0.0.1:{port}/data/plugins_listing", timeout=PATIENCE) as answer:
        return json.load(answer)[page]["enabled"]


def save_pictures(run: Path, out: Path, pages: Sequence[str] = PAGES) -> list[Path]:
    """Write ``<page>.png`` for every page and return their paths.

    Raises: FileNotFoundError if run or browser is missing; TimeoutError if a page stays empty.
    """
    if not run.is_dir():
        raise FileNotFoundError(f"there is no run folder {run}")
    out.mkdir(parents=True, exist_ok=True)
    with browser() as window, tensorboard(run) as port:
        for name in pages:
            wait_for(partial(has_data, port, name), f"data for the page {name}")
            window.show(board_url(port=port, page=name) + FILTER.get(name, ""))
            (out / f"{name}.png").write_bytes(window.picture())
    return [out / f"{name}.png" for name in pages]


def main(args: Sequence[str] | None = None) -> None:
    """Read the command line and print the path of every picture."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("run", type=Path, help="folder with the event files of one run or more")
    parser.add_argument("--out", type=Path, default=Path("."), help="folder for the pictures")
    parser.add_argument("--pages", nargs="+", choices=PAGES, default=PAGES, metavar="PAGE")
    options = parser.parse_args(args)
    try:
        print(*save_pictures(options.run, options.out, options.pages), sep="\n")
    except (FileNotFoundError, TimeoutError) as error:
        parser.exit(1, f"{parser.prog}: {error}\n")


if __name__ == "__main__":
    main()
