"""Train, validate, test or predict with one YAML file.

python scripts/train.py fit --config configs/ch07/digits_convnet.yaml
"""

from dlbook_torch.training.cli import main

if __name__ == "__main__":
    main()
