"""Deep Learning from Scratch, handwritten on PyTorch and proven against the built-in."""

