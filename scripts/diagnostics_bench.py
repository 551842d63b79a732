"""Score the diagnostics on seeded runs, healthy and faulty, beside the rules of others.

python scripts/diagnostics_bench.py --split held-out
"""

from dlbook_torch.bench.diagnostics import main

if __name__ == "__main__":
    main()
