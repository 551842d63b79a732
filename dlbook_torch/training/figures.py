"""Pictures of a trained classifier: what it confuses, what it gets wrong, what it looks for."""

from collections.abc import Sequence
from math import ceil
from typing import Any

import lightning as L
import numpy as np
import torch
from matplotlib.figure import Figure
from torch import Tensor
from torchmetrics.classification import MulticlassConfusionMatrix

from ..diagnostics.plot import pixels

MOST = 25  # pictures on one figure


def confusion_figure(counts: Tensor, classes: Sequence[str]) -> Figure:
    """Draw how often each class (row) was taken for each class (column)."""
    figure = Figure(figsize=(4.5, 4.5), layout="constrained")
    axes = figure.subplots()
    share = counts / counts.sum(1, keepdim=True).clamp(min=1)
    axes.imshow(share.numpy(), cmap="Blues", vmin=0, vmax=1)
    for i, j in counts.nonzero().tolist():
        color = "white" if share[i, j] > 0.5 else "black"
        axes.text(j, i, str(int(counts[i, j])), ha="center", va="center", color=color, fontsize=8)
    ticks = range(len(classes))
    axes.set(xlabel="predicted", ylabel="true", title="Test set")
    axes.set_xticks(ticks, classes, rotation=45 if max(map(len, classes)) > 2 else 0)
    axes.set_yticks(ticks, classes)
    return figure


def image_grid(images: Tensor, titles: Sequence[str], title: str) -> Figure:
    """Draw images (N, C, H, W) with values in [0, 1] on a grid; C is 1 or 3."""
    columns = min(len(images), 5)
    rows = ceil(len(images) / columns)
    figure = Figure(figsize=(1.1 * columns, 1.4 * rows + 0.3), layout="constrained")
    for axes, image, text in zip(
        figure.subplots(rows, columns, squeeze=False).flat, images, titles, strict=False
    ):
        axes.imshow(image.permute(1, 2, 0).squeeze(2).numpy(), cmap="gray", vmin=0, vmax=1)
        axes.set_title(text, fontsize=8)
    for axes in figure.axes:
        axes.axis("off")
    figure.suptitle(title, fontsize=10)
    return figure


def first_filters(net: torch.nn.Module, shape: Sequence[int]) -> Tensor | None:
    """Return the first layer's weights as images (N, C, H, W), None if they are no images.

    A convolution's filters are; so are the rows of a linear layer on images of ``shape``.
    """
    for weight in net.parameters():
        w = weight.detach().float().cpu()
        if w.dim() == 2 and tuple(w.shape[1:]) == (int(np.prod(shape)),):
            w = w.unflatten(1, tuple(shape))
        if w.dim() == 4:
            return w[:MOST] if w.shape[1] in (1, 3) else None
        if w.dim() > 1:
            return None
    return None


def stretched(images: Tensor) -> Tensor:
    """Map the values of each image to [0, 1]."""
    low, high = images.amin((1, 2, 3), keepdim=True), images.amax((1, 2, 3), keepdim=True)
    return (images - low) / (high - low).clamp(min=1e-12)


class Pictures(L.Callback):
    """Write the pictures of a test run to TensorBoard.

    For any module whose ``test_step`` returns a classifier's outputs for batches (images, labels).
    """

    def __init__(self) -> None:
        self.confusion: MulticlassConfusionMatrix | None = None
        self.wrong: list[tuple[float, int, int, Tensor]] = []

    def on_test_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        self.__init__()  # type: ignore[misc]

    def on_test_batch_end(
        self,
        trainer: L.Trainer,
        pl_module: L.LightningModule,
        outputs: Any,
        batch: Any,
        batch_idx: int,
        dataloader_idx: int = 0,
    ) -> None:
        if not (isinstance(outputs, Tensor) and outputs.dim() == 2 and len(batch) == 2):
            return
        x, t = batch
        if t.is_floating_point():
            return
        if self.confusion is None:
            self.confusion = MulticlassConfusionMatrix(outputs.shape[1]).to(outputs.device)
        sure, predicted = outputs.float().softmax(1).max(1)
        self.confusion.update(predicted, t)
        if x.dim() == 4:
            for i in (predicted != t).nonzero().flatten().tolist():
                self.wrong.append((float(sure[i]), int(t[i]), int(predicted[i]), x[i].cpu()))
            self.wrong = sorted(self.wrong, key=lambda row: -row[0])[:MOST]

    def on_test_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        if self.confusion is None:
            return
        counts = self.confusion.compute().cpu()
        add_image = getattr(getattr(trainer.logger, "experiment", None), "add_image", None)
        x = getattr(trainer.logger, "x", trainer.current_epoch)  # where the scores of the test are
        if add_image is None or not trainer.is_global_zero:
            return
        for tag, figure in self.figures(counts, pl_module, trainer.datamodule).items():  # type: ignore[attr-defined]
            add_image(tag, pixels(figure), x, dataformats="HWC")

    def figures(self, counts: Tensor, module: torch.nn.Module, data: Any) -> dict[str, Figure]:
        """Return the figures by tag."""
        classes = list(getattr(data, "classes", None) or map(str, range(len(counts))))
        found = {"confusion": confusion_figure(counts, classes)}
        if self.wrong:
            found["misclassified"] = self._misclassified(
                int(counts.sum() - counts.trace()), classes
            )
        filters = first_filters(module, getattr(data, "shape", ()))
        if filters is not None:
            found["filters"] = image_grid(stretched(filters), [""] * len(filters), "First layer")
        return found

    def _misclassified(self, total: int, classes: Sequence[str]) -> Figure:
        titles = [
            f"{classes[t]} taken for {classes[y]}\n{sure:.0%} sure" for sure, t, y, _ in self.wrong
        ]
        images = stretched(torch.stack([image.float() for *_, image in self.wrong]))
        return image_grid(images, titles, f"{len(images)} of {total} wrong answers, surest first")
