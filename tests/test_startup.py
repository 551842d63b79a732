"""A command loads what it needs and not before it needs it; what that takes is mostly imports."""

import subprocess
import sys

import pytest


@pytest.mark.parametrize(
    "work, unwanted",
    [
        (
            "from dlbook_torch.training.cli import main; main(['--help'])",
            {"torch", "numpy", "lightning", "torchmetrics", "torchvision", "matplotlib", "scipy"},
        ),
        (  # all that a run of the digits loads before its first step, but for the logger
            "import dlbook_torch.training.run, dlbook_torch.data;"
            "dlbook_torch.data.Digits().read(True)",
            {"torchaudio", "pandas", "torch._inductor.ir"},
        ),
    ],
    ids=["help", "run"],
)
def test_heavy_packages_are_left_alone(work, unwanted):
    code = f"import sys; {work}; print(sorted(set(sys.modules) & {unwanted!r}))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "[]"
