"""Race every update rule, ours and torch's, down the valley of notes 6.2.

python scripts/optimizer_race.py --lr Adam=0.1 --out runs/race
"""

from dlbook_torch.experiment.race import main

if __name__ == "__main__":
    main()
