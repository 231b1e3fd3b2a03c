"""Event files for TensorBoard."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import Any

import numpy as np

from kgraph.callbacks.callback import Callback
from kgraph.callbacks.learning_rate import log_rates
from kgraph.errors import ArgumentError, MissingExtraError


class TensorBoard(Callback):
    """Write metrics, and what else is asked for, to event files in log_dir/train and log_dir/validation.

    histogram_freq: after how many epochs to write a histogram of every weight; 0 for never. write_images: weights as
    pictures too. write_graph: the summary of the model as text. write_steps_per_second: the speed of epochs and
    batches. update_freq: "epoch", "batch" or the number of batches after which the metrics are also written as
    "batch_...". Metrics of epochs are "epoch_...", the learning rate among them; those of evaluations are
    "evaluation_..._vs_iterations".

    It writes through tensorboardX, or through torch.utils.tensorboard; MissingExtraError if there is neither.
    ArgumentError for profile_batch and embeddings_freq, which kgraph does not have. Source: Keras.
    """

    def __init__(
        self,
        log_dir: str | os.PathLike[str] = "logs",
        histogram_freq: int = 0,
        write_graph: bool = True,
        write_images: bool = False,
        write_steps_per_second: bool = False,
        update_freq: str | int = "epoch",
        profile_batch: Any = 0,
        embeddings_freq: int = 0,
        embeddings_metadata: Any = None,
    ) -> None:
        super().__init__()
        if profile_batch:
            raise ArgumentError(
                f"profile_batch={profile_batch!r}: kgraph writes no profiles; see `kgraph bench --profile`"
            )
        if embeddings_freq or embeddings_metadata:
            raise ArgumentError("kgraph writes no embeddings for TensorBoard: leave embeddings_freq at 0")
        whole = isinstance(update_freq, int) and not isinstance(update_freq, bool) and update_freq > 0
        if update_freq not in ("epoch", "batch") and not whole:
            raise ArgumentError(f"update_freq wants 'epoch', 'batch' or a number of batches, not {update_freq!r:.60}")
        self.log_dir, self.histogram_freq, self.write_graph = Path(log_dir), histogram_freq, write_graph
        self.write_images, self.write_steps_per_second = write_images, write_steps_per_second
        self.update_freq = 1 if update_freq == "batch" else update_freq
        if self.update_freq == "epoch":
            self.idle = (TensorBoard.on_train_batch_begin, TensorBoard.on_train_batch_end)
        self._make = writer_class()
        self._writers: dict[str, Any] = {}
        self._batches = 0
        self._batch_began = self._epoch_began = time.monotonic()
        self._before = 0  # updates of the optimizer before this epoch

    def set_model(self, model: Any) -> None:
        super().set_model(model)
        self._close()

    def on_train_begin(self, logs: Any = None) -> None:
        self._batches = 0
        if self.write_graph and getattr(self.model, "built", False):
            lines: list[str] = []
            self.model.summary(print_fn=lambda text, **_: lines.append(str(text)))
            text = "\n".join(lines)
            self._writer("train").add_text("model", "".join(f"    {line}\n" for line in text.splitlines()), 0)

    def on_train_end(self, logs: Any = None) -> None:
        self._close()

    def on_test_end(self, logs: Any = None) -> None:
        for name, value in (logs or {}).items():
            self._scalar("validation", f"evaluation_{name}_vs_iterations", value, self._iterations())

    def on_train_batch_begin(self, batch: int, logs: Any = None) -> None:
        self._batches += 1
        self._batch_began = time.monotonic()

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
        if self.update_freq == "epoch" or self._batches % int(self.update_freq):
            return
        if self.write_steps_per_second:
            passed = max(time.monotonic() - self._batch_began, 1e-9)
            self._scalar("train", "batch_steps_per_second", 1 / passed, self._batches)
        for name, value in (logs or {}).items():
            self._scalar("train", f"batch_{name}", value, self._batches)

    def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
        self._epoch_began, self._before = time.monotonic(), self._iterations()

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        known = dict(logs or {})
        if getattr(self.model, "optimizer", None) is not None:
            log_rates(self.model, known)
        if self.write_steps_per_second:
            passed = max(time.monotonic() - self._epoch_began, 1e-9)
            known["steps_per_second"] = (self._iterations() - self._before) / passed
        for name, value in known.items():
            kind = "validation" if name.startswith("val_") else "train"
            self._scalar(kind, f"epoch_{name.removeprefix('val_')}", value, epoch)
        if self.histogram_freq and epoch % self.histogram_freq == 0:
            self._write_weights(epoch)
        for writer in self._writers.values():
            writer.flush()

    def _write_weights(self, epoch: int) -> None:
        for weight in self.model.weights:
            name, value = weight.path.replace(":", "_"), np.asarray(weight.numpy())
            self._writer("train").add_histogram(f"{name}/histogram", value, epoch)
            if self.write_images and (picture := as_picture(value)) is not None:
                self._writer("train").add_image(f"{name}/image", picture, epoch, dataformats="HW")

    def _iterations(self) -> int:
        iterations = getattr(getattr(self.model, "optimizer", None), "iterations", None)
        return 0 if iterations is None else int(iterations)

    def _scalar(self, kind: str, name: str, value: Any, step: int) -> None:
        if np.ndim(value) == 0 and not isinstance(value, str):
            self._writer(kind).add_scalar(name, float(value), step)

    def _writer(self, kind: str) -> Any:
        """The writer of "train" or "validation", whose files are made when something is written."""
        if kind not in self._writers:
            self._writers[kind] = self._make(str(self.log_dir / kind))
        return self._writers[kind]

    def _close(self) -> None:
        for writer in self._writers.values():
            writer.close()
        self._writers = {}


def writer_class() -> Any:
    """tensorboardX's SummaryWriter, or torch's, which needs the package tensorboard."""
    try:
        from tensorboardX import SummaryWriter
    except ImportError:
        try:
            from torch.utils.tensorboard import SummaryWriter
        except ImportError as error:
            raise MissingExtraError(
                "TensorBoard wants a writer of event files: pip install kgraph[tensorboard], which brings "
                "tensorboardX; or torch and tensorboard"
            ) from error
    return SummaryWriter


def as_picture(value: np.ndarray) -> np.ndarray | None:
    """A weight as rows and columns from 0 to 1, kernels of a convolution side by side; None if it has other axes."""
    value = np.squeeze(value)
    if value.ndim == 1:
        value = value[None]
    elif value.ndim == 3:
        value = np.moveaxis(value, -1, 0).reshape(-1, value.shape[1])
    if value.ndim != 2 or not value.size:
        return None
    low, high = float(value.min()), float(value.max())
    return ((value - low) / (high - low or 1)).astype("float32")
