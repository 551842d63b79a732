"""Recompute chapter 5's worked example and judge every number that the notes print.

python scripts/backprop_example.py --steps 200
"""

from dlbook_torch.autograd.cli import main

if __name__ == "__main__":
    main()
