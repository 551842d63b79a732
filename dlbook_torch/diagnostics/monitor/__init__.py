"""Callbacks that judge a run of any LightningModule while it trains."""

from .curves import OverfittingMonitor
from .network import NetworkMonitor

__all__ = ["NetworkMonitor", "OverfittingMonitor"]
