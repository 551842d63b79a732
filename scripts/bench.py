"""Measure ours against torch, one subcommand per subject.

python scripts/bench.py data
"""

from dlbook_torch.bench.cli import main

if __name__ == "__main__":
    main()
