"""Statistics of layers, as ``NetworkMonitor`` logs them."""

from collections.abc import Callable
from typing import Any

import numpy as np

from ..run import Internals
from .log import Array, Log, Series

# tag of the monitor's curves: field of Internals, and back from what is shown there
CURVES: dict[str, tuple[str, Callable[[Array], Array]]] = {
    "layers_gradient_norm": ("gradient_norm", lambda y: y),
    "layers_update_ratio_log10": ("update_ratio", lambda y: 10.0**y),
    "layers_activation_std": ("activation_std", lambda y: y),
    "layers_dead_percent": ("dead", lambda y: y / 100),
    "layers_saturated_percent": ("saturated", lambda y: y / 100),
}


def internals(log: Log) -> Internals | None:
    """Return what the log says about layers, None if it says nothing or counts no epochs."""
    found: dict[str, dict[str, Series]] = {}
    for tag, series in log.series.items():
        group, _, layer = tag.partition("/")
        if group in CURVES and layer and series.epoch is not None:
            found.setdefault(group, {})[layer] = series
    if not found:
        return None
    layers = list(dict.fromkeys(layer for group in CURVES for layer in found.get(group, {})))
    every = [series.epoch for group in found.values() for series in group.values()]
    epochs = np.unique(np.concatenate([e for e in every if e is not None]))
    grids: dict[str, Any] = {}
    for group, curves in found.items():
        name, back = CURVES[group]
        grid = np.full((len(epochs), len(layers)), np.nan)
        for layer, series in curves.items():
            rows = np.searchsorted(epochs, np.asarray(series.epoch))
            grid[rows, layers.index(layer)] = back(series.y)
        grids[name] = grid.tolist()
    return Internals(layers, **grids, epochs=epochs.astype(int).tolist())
