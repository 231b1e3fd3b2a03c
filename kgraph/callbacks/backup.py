"""Going on after an interruption."""

from __future__ import annotations

import json
import os
from contextlib import suppress
from pathlib import Path
from typing import Any

from kgraph.callbacks.callback import Callback
from kgraph.callbacks.checkpoint import BatchCount
from kgraph.errors import ArgumentError, GraphError
from kgraph.saving.atomic import written_whole

RECORD = "training_metadata.json"
BACKUPS = "backup-*.safetensors"  # a format that needs no package


class BackupAndRestore(Callback):
    """Keep weights, the optimizer's state and the epoch in a folder; a later `fit` with that folder goes on from there.

    backup_dir: a folder for this alone. save_freq: "epoch", or a number of batches; an epoch that was interrupted is
    begun again, with the weights of the last backup. double_checkpoint: keep the backup before the last one too, for
    the case that the last cannot be read. delete_checkpoint: remove the backup when training has ended.

    Every backup has files of its own, and a record that is replaced in one step says which are valid: an interruption
    at any moment leaves a whole backup. Source: Keras.
    """

    def __init__(
        self,
        backup_dir: str | os.PathLike[str],
        save_freq: str | int = "epoch",
        double_checkpoint: bool = False,
        delete_checkpoint: bool = True,
    ) -> None:
        super().__init__()
        if not os.fspath(backup_dir):
            raise ArgumentError("backup_dir is empty: give a folder for the backup")
        self.backup_dir = Path(backup_dir)
        self.save_freq, self.double_checkpoint, self.delete_checkpoint = save_freq, double_checkpoint, delete_checkpoint
        self._batches = BatchCount(save_freq)
        self._epoch = 0
        if save_freq == "epoch":
            self.idle = (BackupAndRestore.on_train_batch_end,)

    def on_train_begin(self, logs: Any = None) -> None:
        self._epoch = 0
        backups = self._backups()
        for place, backup in enumerate(backups):
            try:
                self._restore(backup)
                return
            except (OSError, ValueError, KeyError):
                if place + 1 == len(backups):
                    raise

    def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
        self._epoch = epoch

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
        if self._batches.reached(batch):
            self._save(self._epoch, batch)

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        if self.save_freq == "epoch":
            self._save(epoch + 1, 0)

    def on_train_end(self, logs: Any = None) -> None:
        if self.delete_checkpoint and self.backup_dir.is_dir():
            for path in [self.backup_dir / RECORD, *self.backup_dir.glob(BACKUPS)]:
                path.unlink(missing_ok=True)
            with suppress(OSError):  # somebody else's files are in it
                self.backup_dir.rmdir()

    def _backups(self) -> list[dict[str, Any]]:
        """What there is to go on from, the latest first."""
        try:
            return json.loads((self.backup_dir / RECORD).read_text(encoding="utf-8"))["backups"]
        except FileNotFoundError:
            return []

    def _restore(self, backup: dict[str, Any]) -> None:
        if not self.model.built:
            raise GraphError(
                f"model {self.model.name!r} has no weights yet to restore a backup into: build it, or call it on data"
            )
        optimizer = getattr(self.model, "optimizer", None)
        if optimizer is not None and not optimizer.built:
            optimizer.build(self.model.trainable_variables)
        self.model.load_weights(str(self.backup_dir / backup["weights"]))
        self.model._initial_epoch = self._epoch = int(backup["epoch"])

    def _save(self, epoch: int, batch: int) -> None:
        kept = self._backups()[: 1 if self.double_checkpoint else 0]
        name = BACKUPS.replace("*", f"{epoch}-{batch}")
        self.backup_dir.mkdir(parents=True, exist_ok=True)
        self.model.save_weights(str(self.backup_dir / name), overwrite=True)
        backups = [{"epoch": epoch, "batch": batch, "weights": name}, *(one for one in kept if one["weights"] != name)]
        with written_whole(self.backup_dir / RECORD) as file:
            file.write(json.dumps({"backups": backups}).encode())
        valid = {backup["weights"] for backup in backups}
        for path in self.backup_dir.glob(BACKUPS):
            if path.name not in valid:
                path.unlink(missing_ok=True)
