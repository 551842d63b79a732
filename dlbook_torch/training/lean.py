"""What a run loads before its first step."""

from importlib.metadata import PackageNotFoundError
from unittest.mock import patch

from lightning_utilities.core import imports as installed

UNUSED = "scipy"


def load_torchmetrics() -> None:
    """Load torchmetrics as if SciPy were not installed; it is needed by metrics of sound alone.

    Else it loads SciPy's signal processing, to mend an alias in it, which takes a second.
    """
    available, version = installed.package_available, installed._version

    def version_of(package: str) -> str:
        if package == UNUSED:
            raise PackageNotFoundError(package)
        return version(package)

    with (
        patch.object(installed, "package_available", lambda n: n != UNUSED and available(n)),
        patch.object(installed, "_version", version_of),
    ):
        import torchmetrics  # noqa: F401
