"""Draw every picture of the notes, or those of some sections, and a contact sheet.

python scripts/figures.py 6.3 7
"""

from dlbook_torch.experiment.gallery import main

if __name__ == "__main__":
    main()
