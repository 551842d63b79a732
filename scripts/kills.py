"""Kill trainings at random moments, resume them, and compare every bit with one left alone.

python scripts/kills.py --kills 200
"""

from dlbook_torch.bench.kills import main

if __name__ == "__main__":
    main()
