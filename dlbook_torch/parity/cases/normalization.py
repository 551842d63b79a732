"""Rows of the normalizations (notes 6.4)."""

from inspect import signature

import torch

from .base import IMAGE, ROW, Case, Refused, rows, whole, x

HAS_BIAS = "bias" in signature(torch.nn.BatchNorm2d).parameters  # from torch 2.14 on

CASES: list[Case] = [
    *rows("6.4", "BatchNorm1d", (4, 3), (4, 3, 5), num_features=3),
    *rows("6.4", "BatchNorm2d", IMAGE, (2, 3, 1, 1), (1, 3, 4, 2), num_features=3),
    *rows("6.4", "BatchNorm3d", (2, 3, 2, 1, 3), (2, 3, 1, 1, 1), num_features=3),
    *(rows("6.4", "BatchNorm2d", IMAGE, num_features=3, bias=False) if HAS_BIAS else []),
    *[
        case
        for name, shape in (
            ("BatchNorm1d", (4, 3)),
            ("BatchNorm2d", IMAGE),
            ("BatchNorm3d", (2, 3, 2, 1, 2)),
        )
        for kwargs in (
            dict(affine=False),
            dict(track_running_stats=False),
            dict(affine=False, track_running_stats=False),
            dict(momentum=None),
            dict(momentum=0.3, eps=0.1),
        )
        for case in rows("6.4", name, shape, num_features=3, **kwargs)
    ],
    # one process: the test of two is tests/test_sync_batchnorm.py
    *rows(
        "6.4", "SyncBatchNorm", IMAGE, (4, 3), (2, 3, 2, 1, 3), (2, 3, 1, 2, 1, 2), num_features=3
    ),
    *[
        case
        for kwargs in (dict(momentum=None), dict(affine=False, track_running_stats=False))
        for case in rows("6.4", "SyncBatchNorm", (4, 3, 5), num_features=3, **kwargs)
    ],
    *rows("6.4", "LayerNorm", ROW, (5,), (2, 3, 5), normalized_shape=5),
    *rows("6.4", "LayerNorm", IMAGE, normalized_shape=[3, 6, 5]),
    *rows("6.4", "LayerNorm", IMAGE, (6, 5), normalized_shape=(6, 5), bias=False),
    *rows("6.4", "LayerNorm", ROW, normalized_shape=5, elementwise_affine=False),
    *rows("6.4", "LayerNorm", ROW, normalized_shape=torch.Size([5]), eps=0.1),
]

REFUSED: list[Refused] = [
    Refused("6.4", "BatchNorm1d", dict(num_features=3), x(4, 3, 2, 2), ValueError, "4D"),
    Refused("6.4", "BatchNorm1d", dict(num_features=3), x(1, 3), ValueError, "(1, 3)"),
    Refused("6.4", "BatchNorm2d", dict(num_features=3), x(4, 3), ValueError, "2D"),
    Refused("6.4", "BatchNorm2d", dict(num_features=3), x(1, 3, 1, 1), ValueError, "(1, 3, 1, 1)"),
    Refused("6.4", "BatchNorm2d", dict(num_features=3), x(2, 4, 5, 5), RuntimeError, "3 channels"),
    Refused("6.4", "BatchNorm3d", dict(num_features=3), x(2, 3, 4, 4), ValueError, "4D"),
    Refused("6.4", "BatchNorm3d", dict(num_features=3), x(1, 3, 1, 1, 1), ValueError, "1, 1, 1)"),
    Refused("6.4", "LayerNorm", dict(normalized_shape=5), whole(4, 5), RuntimeError, "int64"),
    Refused(
        "6.4",
        "LayerNorm",
        dict(normalized_shape=5, elementwise_affine=False),
        whole(4, 5),
        NotImplementedError,
        "int64",
    ),
    Refused("6.4", "SyncBatchNorm", dict(num_features=3), x(3), ValueError, "1D"),
    Refused("6.4", "SyncBatchNorm", dict(num_features=0), x(2, 0, 5), ValueError, "(2, 0, 5)"),
    Refused("6.4", "SyncBatchNorm", dict(num_features=3), x(1, 3), ValueError, "(1, 3)"),
    Refused("6.4", "SyncBatchNorm", dict(num_features=3), x(2, 4, 5), RuntimeError, "3 channels"),
    Refused(
        "6.4",
        "BatchNorm1d",
        dict(num_features=3, dtype=torch.float64),
        x(4, 3),
        RuntimeError,
        "float64",
    ),
    Refused("6.4", "LayerNorm", dict(normalized_shape=4), x(4, 5), RuntimeError, "(4, 5)"),
    Refused("6.4", "LayerNorm", dict(normalized_shape=(4, 5)), x(5), RuntimeError, "(4, 5)"),
    Refused("6.4", "LayerNorm", dict(normalized_shape=()), x(4, 5), RuntimeError, "()"),
    Refused("6.4", "LayerNorm", dict(normalized_shape=5.0), None, TypeError, "float"),
    Refused(
        "6.4",
        "LayerNorm",
        dict(normalized_shape=5, dtype=torch.float64),
        x(4, 5),
        RuntimeError,
        "float64",
    ),
]
