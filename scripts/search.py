"""Search for hyper-parameters by rounds that narrow around the best (notes 6.6).

python scripts/search.py --config configs/search/digits_mlp.yaml
"""

from dlbook_torch.search.cli import main

if __name__ == "__main__":
    main()
