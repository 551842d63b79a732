"""TensorBatches: every sample once, in an order that is known beforehand, from where it stopped."""

import lightning as L
import pytest
import torch

from dlbook_torch.data import TensorBatches

N = 50


def batches(n=N, batch_size=4, shuffle=True, **options):
    return TensorBatches(torch.arange(n), batch_size=batch_size, shuffle=shuffle, **options)


def samples(loader, epoch=0):
    loader.set_epoch(epoch)
    return [int(i) for (batch,) in loader for i in batch]


@pytest.mark.parametrize("shuffle", [False, True])
def test_every_sample_comes_once_and_rows_stay_together(shuffle):
    x = torch.randint(0, 256, (N, 1, 3, 3), dtype=torch.uint8)
    loader = TensorBatches(x, torch.arange(N), batch_size=8, shuffle=shuffle)
    pairs = list(loader)
    assert [len(t) for _, t in pairs] == [8] * 6 + [2]
    assert len(loader) == 7
    t = torch.cat([t for _, t in pairs])
    assert t.sort().values.tolist() == list(range(N))
    assert (t.tolist() == list(range(N))) is not shuffle
    assert pairs[0][0].dtype == torch.uint8
    assert torch.equal(torch.cat([x for x, _ in pairs]), x[t])


def test_drop_last():
    loader = batches(batch_size=8, drop_last=True)
    assert len(loader) == len(list(loader)) == 6
    assert len(samples(loader)) == 48


def test_order_is_a_function_of_seed_and_epoch():
    torch.manual_seed(1)
    first = [samples(batches(), epoch) for epoch in range(3)]
    torch.manual_seed(2)
    assert [samples(batches(), epoch) for epoch in (2, 1, 0)] == first[::-1]
    assert samples(batches(seed=1)) != first[0] != first[1]


def test_order_is_known():
    generator = torch.Generator().manual_seed(3 * 1_000_003 + 2)
    assert samples(batches(seed=3), epoch=2) == torch.randperm(N, generator=generator).tolist()


def test_global_random_state_is_left_alone():
    before = torch.get_rng_state()
    samples(batches())
    assert torch.equal(torch.get_rng_state(), before)


@pytest.mark.parametrize("n, replicas", [(48, 2), (49, 2), (50, 3), (1, 3)])
def test_processes_share_an_epoch(n, replicas):
    shares = [batches(n, num_replicas=replicas, rank=rank) for rank in range(replicas)]
    seen = [samples(share) for share in shares]
    assert len(set(map(len, seen))) == len(set(map(len, shares))) == 1  # none waits for another
    assert set().union(*seen) == set(range(n))
    assert sum(map(len, seen)) == n + -n % replicas
    exact = [batches(n, 4, False, num_replicas=replicas, rank=rank) for rank in range(replicas)]
    if n < replicas:
        with pytest.raises(ValueError, match="1 samples are too few to evaluate in 3 processes"):
            samples(exact[0])
        return
    assert sorted(i for share in exact for i in samples(share)) == list(range(n))
    assert [len(list(share)) for share in exact] == list(map(len, exact))


def test_processes_are_those_of_torch_distributed(monkeypatch):
    monkeypatch.setattr(torch.distributed, "is_initialized", lambda: True)
    monkeypatch.setattr(torch.distributed, "get_world_size", lambda: 5)
    monkeypatch.setattr(torch.distributed, "get_rank", lambda: 3)
    assert samples(batches(20, shuffle=False)) == [3, 8, 13, 18]
    assert samples(batches(20, shuffle=False, num_replicas=2, rank=1)) == list(range(1, 20, 2))


@pytest.mark.parametrize("stop", [0, 1, 5, 12])
def test_position_is_kept(stop):
    whole, loader, resumed = samples(batches(), 2), batches(), batches()
    loader.set_epoch(2)
    for _, _ in zip(range(stop), loader, strict=False):
        pass
    resumed.load_state_dict(loader.state_dict())
    assert resumed.state_dict() == {"epoch": 2, "position": 4 * stop}
    assert samples(resumed, 2) == whole[4 * stop :]
    assert samples(resumed, 2) == whole


def test_position_of_another_epoch_is_void():
    loader = batches()
    loader.load_state_dict({"epoch": 2, "position": 20})
    assert samples(loader, 3) == samples(batches(), 3)


class Recorder(L.LightningModule):
    """Remembers which samples it was trained on."""

    def __init__(self):
        super().__init__()
        self.w, self.seen = torch.nn.Parameter(torch.zeros(())), []

    def training_step(self, batch, _):
        self.seen += batch[0].tolist()
        return self.w * batch[0].float().mean()

    def validation_step(self, batch, _):
        self.log("loss", self.w)

    def configure_optimizers(self):
        return torch.optim.SGD(self.parameters(), 0.1)


class Snapshots(L.Callback):
    """Saves a checkpoint after every step, and after every epoch another one."""

    def __init__(self, folder):
        self.folder = folder

    def on_train_batch_end(self, trainer, *_):
        trainer.save_checkpoint(self.folder / f"step-{trainer.global_step}.ckpt")

    def on_train_epoch_end(self, trainer, *_):
        trainer.save_checkpoint(self.folder / f"epoch-{trainer.global_step}.ckpt")


def fit(ckpt_path=None, callbacks=(), **options):
    module = Recorder()
    trainer = L.Trainer(
        max_epochs=3,
        accelerator="cpu",
        logger=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        enable_checkpointing=False,
        callbacks=list(callbacks),
        **options,
    )
    trainer.fit(module, batches(), batches(5, 4, False), ckpt_path=ckpt_path, weights_only=True)
    return module.seen


@pytest.mark.parametrize("limit", [13, 5])  # all batches of an epoch, or only some
def test_lightning_resumes_with_the_very_next_sample(tmp_path, limit):
    options = {"limit_train_batches": limit}
    whole = fit(callbacks=[Snapshots(tmp_path)], **options)
    epoch = min(N, 4 * limit)
    assert len(whole) == 3 * epoch
    for step in [1, limit - 1, limit, limit + 1, 2 * limit]:
        done = step // limit * epoch + step % limit * 4
        for path in tmp_path.glob(f"*-{step}.ckpt"):
            assert fit(path, **options) == whole[done:], path.name


@pytest.mark.parametrize(
    "lengths, batch_size, words",
    [
        ((), 4, r"lengths \[\]"),
        ((0,), 4, r"lengths \[0\]"),
        ((5, 4), 4, r"lengths \[5, 4\]"),
        ((5,), 0, "batch_size must be at least 1, got 0"),
        ((5,), -3, "batch_size must be at least 1, got -3"),
    ],
)
def test_bad_arguments_are_refused(lengths, batch_size, words):
    with pytest.raises(ValueError, match=words):
        TensorBatches(*map(torch.zeros, lengths), batch_size=batch_size)
