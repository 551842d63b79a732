"""One thread, no GPU, a fixed seed: every test starts from the same place."""

import os

os.environ["CUDA_VISIBLE_DEVICES"] = ""

import matplotlib
import pytest
import torch

matplotlib.use("Agg")
torch.set_num_threads(1)
pytest.register_assert_rewrite("tests.notes")


@pytest.fixture(autouse=True)
def seed():
    torch.manual_seed(0)
