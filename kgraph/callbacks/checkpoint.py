"""Saving the model while it trains."""

from __future__ import annotations

import os
from typing import Any

from kgraph.callbacks.monitor import MonitorCallback
from kgraph.errors import ArgumentError
from kgraph.saving.files import hdf5


class ModelCheckpoint(MonitorCallback):
    """Save the model, or its weights, after epochs or after a number of batches.

    filepath: ends in ".weights.h5" or ".safetensors" with save_weights_only, otherwise in ".keras" (ArgumentError);
    names in braces are filled in: "{epoch:02d}-{val_loss:.2f}.keras", where the epoch counts from 1, and {batch} with
    save_freq in batches. Folders are made. save_best_only: only when the metric `monitor` has improved. mode: "min",
    "max" or "auto" (see MonitorCallback). save_freq: "epoch", or the number of batches between two savings, counted
    over epochs. initial_value_threshold: what the metric must be better than at first. verbose=1 says what is done.

    A file is replaced in one step, so that there is a whole one at every moment. MissingExtraError at once, and not
    after the first epoch, if the package for the kind of file is not installed. Source: Keras.
    """

    def __init__(
        self,
        filepath: str | os.PathLike[str],
        monitor: str = "val_loss",
        verbose: int = 0,
        save_best_only: bool = False,
        save_weights_only: bool = False,
        mode: str = "auto",
        save_freq: str | int = "epoch",
        initial_value_threshold: float | None = None,
    ) -> None:
        super().__init__(monitor, mode, initial_value_threshold)
        self.filepath = os.fspath(filepath)
        self.verbose, self.save_best_only, self.save_weights_only = verbose, save_best_only, save_weights_only
        self.save_freq = save_freq
        endings = (".weights.h5", ".safetensors") if save_weights_only else (".keras",)
        if not self.filepath.endswith(endings):
            raise ArgumentError(f"filepath={self.filepath!r} must end in {' or '.join(endings)}")
        if not self.filepath.endswith(".safetensors"):
            hdf5()
        self._batches = BatchCount(save_freq)
        self._epoch = 0
        if save_freq == "epoch":
            self.idle = (ModelCheckpoint.on_train_batch_end,)

    def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
        self._epoch = epoch

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
        if self._batches.reached(batch):
            self._save(self._epoch, batch, logs or {})

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        if self.save_freq == "epoch":
            self._save(epoch, None, logs or {})

    def _save(self, epoch: int, batch: int | None, logs: dict[str, Any]) -> None:
        path = self._path(epoch, batch, logs)
        if not self._is_wanted(epoch, logs, path):
            return
        os.makedirs(os.path.dirname(path) or ".", exist_ok=True)
        save = self.model.save_weights if self.save_weights_only else self.model.save
        save(path, overwrite=True)
        self._say(epoch, f"finished saving model to {path}")

    def _is_wanted(self, epoch: int, logs: dict[str, Any], path: str) -> bool:
        if not self.save_best_only:
            self._say(epoch, f"saving model to {path}")
            return True
        current = self.monitored(logs, "saving only the best model")
        if current is None:
            return True
        best = "None" if self.best is None else f"{self.best:.5f}"
        if not self.improves(current, self.best):
            self._say(epoch, f"{self.monitor} did not improve from {best}")
            return False
        self._say(epoch, f"{self.monitor} improved from {best} to {current:.5f}, saving model to {path}")
        self.best = current
        return True

    def _path(self, epoch: int, batch: int | None, logs: dict[str, Any]) -> str:
        known = {**({} if batch is None else {"batch": batch + 1}), **logs, "epoch": epoch + 1}
        try:
            return self.filepath.format_map(known)
        except (KeyError, ValueError, IndexError, TypeError) as error:
            raise ArgumentError(
                f"filepath={self.filepath!r} cannot be filled in ({error!r:.80}); there are {', '.join(known)}"
            ) from error

    def _say(self, epoch: int, text: str) -> None:
        if self.verbose:
            print(f"Epoch {epoch + 1}: {text}")


class BatchCount:
    """Every so many batches something is due, counted on from epoch to epoch."""

    def __init__(self, every: str | int) -> None:
        if every != "epoch" and (isinstance(every, (bool, str)) or not isinstance(every, int) or every < 1):
            raise ArgumentError(f"save_freq wants 'epoch' or a number of batches, not {every!r:.60}")
        self.every, self._since, self._last = every, 0, -1

    def reached(self, batch: int) -> bool:
        """Whether it is due after this batch. Batches may be left out, when several run at once."""
        if self.every == "epoch":
            return False
        self._since += batch + 1 if batch <= self._last else batch - self._last
        self._last = batch
        if self._since < int(self.every):
            return False
        self._since = 0
        return True
