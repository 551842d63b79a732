"""Put the claims of the notes to the test: arms, seeds, intervals, a verdict, a picture.

python scripts/experiment.py init_relu
"""

from dlbook_torch.experiment.cli import main

if __name__ == "__main__":
    main()
