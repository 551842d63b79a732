"""Try on a device what this project promises, and print one row for everything tried.

python scripts/device_check.py --quick
"""

from dlbook_torch.bench.device import main

if __name__ == "__main__":
    main()
