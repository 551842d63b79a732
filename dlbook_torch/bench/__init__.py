"""Ours against torch: what is measured, used by ``scripts/bench.py``."""
