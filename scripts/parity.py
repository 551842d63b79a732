"""Compare every handwritten layer and rule with torch's own, and print the ledger.

python scripts/parity.py --only Conv2d
"""

from dlbook_torch.parity.ledger import main

if __name__ == "__main__":
    main()
