"""Search for hyper-parameters (notes 6.6): sample, train briefly, validate, narrow, repeat."""

from .sampler import NarrowingSampler

__all__ = ["NarrowingSampler"]
