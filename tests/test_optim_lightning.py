"""A checkpoint of Lightning passes between torch's rules and ours, and the losses go on."""

import lightning
import pytest
import torch
from torch.utils.data import DataLoader, TensorDataset

from dlbook_torch import optim
from dlbook_torch.parity.cases import Rule

RULES = [
    Rule("6.2.1", "SGD", dict(lr=0.05)),
    Rule("6.2.2", "SGD", dict(lr=0.05, momentum=0.9, nesterov=True)),
    Rule("6.2.3", "Adagrad", dict(lr=0.1, lr_decay=0.01)),
    Rule("6.2.3", "RMSprop", dict(lr=0.02, momentum=0.5, centered=True)),
    Rule("6.2.3", "Adadelta", {}),
    Rule("6.2.4", "Adam", dict(lr=0.02, amsgrad=True)),
    Rule("6.5", "AdamW", dict(lr=0.02)),
    Rule("6.2.4", "NAdam", dict(lr=0.02)),
]


class Regression(lightning.LightningModule):
    """A line, learned with the rule of one library under a schedule, that notes its losses."""

    def __init__(self, rule, library):
        super().__init__()
        torch.manual_seed(0)
        self.layer = torch.nn.Linear(3, 1)
        self.rule, self.library, self.losses = rule, library, []

    def training_step(self, batch, index):
        x, t = batch
        loss = ((self.layer(x) - t) ** 2).mean()
        self.losses.append(loss.item())
        return loss

    def configure_optimizers(self):
        moved = self.rule.over(self.library, self.parameters())
        return [moved], [torch.optim.lr_scheduler.StepLR(moved, 1, 0.8)]


def trained(rule, library, epochs, start=None, save=None):
    """The losses of the epochs from a checkpoint, or from the beginning, to ``epochs``."""
    x = torch.randn(12, 3, generator=torch.Generator().manual_seed(0))
    data = DataLoader(TensorDataset(x, x.sum(1, keepdim=True)), batch_size=4)
    module = Regression(rule, library)
    trainer = lightning.Trainer(
        max_epochs=epochs,
        accelerator="cpu",
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
    )
    trainer.fit(module, data, ckpt_path=start)
    if save:
        trainer.save_checkpoint(save)
    assert isinstance(trainer.optimizers[0], getattr(library, rule.name))
    return module.losses


@pytest.mark.filterwarnings("ignore:.*does not have many workers")
@pytest.mark.filterwarnings("ignore:.*is smaller than the logging interval")
@pytest.mark.parametrize("rule", RULES, ids=str)
def test_checkpoint_is_resumed_with_the_twin(rule, tmp_path):
    whole = trained(rule, torch.optim, 4)
    assert sum(whole[-3:]) < sum(whole[:3])
    for there, back in ((torch.optim, optim), (optim, torch.optim)):
        file = tmp_path / f"{there.__name__}.ckpt"
        first = trained(rule, there, 2, save=file)
        second = trained(rule, back, 4, start=file)
        assert len(second) == len(whole) - len(first) == 6
        assert first + second == pytest.approx(whole, rel=1e-6)
