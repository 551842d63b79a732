"""Say what is wrong with training runs, from their logs: TensorBoard, CSV or JSON.

python scripts/diagnose.py runs --html report.html
"""

import sys

from dlbook_torch.diagnostics.cli import main

if __name__ == "__main__":
    sys.exit(main())
