"""Models that are saved while they train, and trainings that go on."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from small_models import drive, small_model

import kgraph as kg
from kgraph.callbacks import BackupAndRestore, ModelCheckpoint
from kgraph.errors import ArgumentError, GraphError, MissingExtraError, SavingError

pytest.importorskip("h5py")
pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")

SEQUENCES = [np.random.default_rng(seed).integers(0, 40, size=8) / 8 for seed in range(6)]


def set_all(model: Any, number: float) -> None:
    model.set_weights([np.full(weight.shape, number) for weight in model.weights])


def first_weight(model: Any) -> float:
    return float(model.get_weights()[0].flat[0])


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"save_best_only": True},
        {"save_best_only": True, "mode": "max"},
        {"save_best_only": True, "initial_value_threshold": 2.0},
        {"save_best_only": True, "monitor": "loss"},
    ],
    ids=str,
)
def test_models_are_saved_when_keras_saves_them(
    options: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    keras = pytest.importorskip("keras")
    theirs = keras.Sequential([keras.Input((3,)), keras.layers.Dense(2)])
    theirs.compile(keras.optimizers.SGD(0.1), "mse")
    ours = small_model()
    saved: dict[str, list[str]] = {"kgraph": [], "keras": []}
    write = "save_weights"
    real = type(ours).save_weights

    def save(self: Any, path: str, **options: Any) -> None:
        real(self, path, **options)
        saved["kgraph"].append(Path(path).name)

    monkeypatch.setattr(type(ours), write, save)
    monkeypatch.setattr(type(theirs), write, lambda self, path, **_: saved["keras"].append(Path(path).name))
    name = "{epoch:02d}-{loss:.2f}.weights.h5"
    for number, sequence in enumerate(SEQUENCES):
        logs = [{"loss": float(value), "val_loss": float(-value)} for value in sequence]
        folder = tmp_path / str(number)
        mine = ModelCheckpoint(folder / name, save_weights_only=True, **options)
        judge = keras.callbacks.ModelCheckpoint(tmp_path / "keras" / name, save_weights_only=True, **options)
        for values in saved.values():
            values.clear()
        drive(mine, ours, logs)
        drive(judge, theirs, logs)
        assert sorted(path.name for path in folder.glob("*")) == sorted(saved["keras"])
        assert mine.best == judge.best and len(saved["kgraph"]) == len(saved["keras"])


@pytest.mark.parametrize("every", [1, 2, 3, 7, 100])
@pytest.mark.parametrize("stride", [1, 2])
def test_batches_are_counted_as_in_keras(every: int, stride: int, tmp_path: Path) -> None:
    keras = pytest.importorskip("keras")
    path = tmp_path / "x.weights.h5"
    mine = ModelCheckpoint(path, save_weights_only=True, save_freq=every)
    judge = keras.callbacks.ModelCheckpoint(path, save_weights_only=True, save_freq=every)
    for _ in range(4):
        for batch in range(stride - 1, 5, stride):
            assert mine._batches.reached(batch) == judge._should_save_on_batch(batch)


def test_weights_are_saved_after_batches(tmp_path: Path) -> None:
    model = small_model()
    callback = ModelCheckpoint(tmp_path / "{epoch}-{batch}.weights.h5", save_weights_only=True, save_freq=3)
    callback.set_model(model)
    for epoch in range(2):
        callback.on_epoch_begin(epoch)
        for batch in range(4):
            set_all(model, epoch * 10 + batch)
            callback.on_train_batch_end(batch, {"loss": 1.0})
        callback.on_epoch_end(epoch, {"loss": 1.0})
    assert sorted(path.name for path in tmp_path.iterdir()) == ["1-3.weights.h5", "2-2.weights.h5"]
    model.load_weights(tmp_path / "2-2.weights.h5")
    assert first_weight(model) == 11


def test_whole_models_are_saved(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    model = small_model()
    callback = ModelCheckpoint(tmp_path / "new" / "best.keras", monitor="loss", save_best_only=True, verbose=1)
    callback.set_model(model)
    for epoch, loss in enumerate([2.0, 1.0, 3.0]):
        set_all(model, epoch)
        callback.on_epoch_begin(epoch)
        callback.on_epoch_end(epoch, {"loss": loss})
    path = tmp_path / "new" / "best.keras"
    assert [one.name for one in path.parent.iterdir()] == ["best.keras"]
    assert first_weight(kg.models.load_model(path)) == 1
    said = capsys.readouterr().out.splitlines()
    assert said == [
        f"Epoch 1: loss improved from None to 2.00000, saving model to {path}",
        f"Epoch 1: finished saving model to {path}",
        f"Epoch 2: loss improved from 2.00000 to 1.00000, saving model to {path}",
        f"Epoch 2: finished saving model to {path}",
        "Epoch 3: loss did not improve from 1.00000",
    ]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"filepath": "x", "save_weights_only": True}, r"must end in \.weights\.h5"),
        ({"filepath": "x.pkl"}, r"must end in \.keras"),
        ({"filepath": "x.keras", "save_freq": "batch"}, "save_freq wants 'epoch' or a number"),
        ({"filepath": "x.keras", "save_freq": 0}, "save_freq wants 'epoch' or a number"),
    ],
    ids=str,
)
def test_wrong_arguments_are_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ArgumentError, match=message):
        ModelCheckpoint(**options)


def test_a_package_that_is_missing_is_missed_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "kgraph.saving.hdf5", None)
    monkeypatch.delattr("kgraph.saving.hdf5", raising=False)
    with pytest.raises(MissingExtraError, match=r"kgraph\[keras\]"):
        ModelCheckpoint("x.keras")
    drive(ModelCheckpoint(tmp_path / "x.safetensors", save_weights_only=True), small_model(), [{}])
    assert (tmp_path / "x.safetensors").exists()
    interrupted(BackupAndRestore(tmp_path), small_model(), 1)


def test_names_that_cannot_be_filled_in_are_an_error(tmp_path: Path) -> None:
    callback = ModelCheckpoint(tmp_path / "{val_loss}.keras")
    with pytest.raises(ArgumentError, match=r"KeyError\('val_loss'\).*; there are loss, epoch"):
        drive(callback, small_model(), [{"loss": 1.0}])


def test_a_folder_in_the_place_of_the_file_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "x.keras").mkdir()
    with pytest.raises(SavingError, match="is a directory"):
        drive(ModelCheckpoint(tmp_path / "x.keras"), small_model(), [{}])


def test_without_the_metric_every_epoch_is_saved(tmp_path: Path) -> None:
    with pytest.warns(UserWarning, match="saving only the best model wants metric 'val_loss'"):
        drive(ModelCheckpoint(tmp_path / "x.keras", save_best_only=True), small_model(), [{"loss": 1.0}])
    assert (tmp_path / "x.keras").exists()


# -- backups


def interrupted(callback: BackupAndRestore, model: Any, epochs: int, batches: int = 0) -> None:
    """A training that ends after so many epochs and batches without an end."""
    callback.set_model(model)
    callback.on_train_begin()
    for epoch in range(model._initial_epoch or 0, epochs):
        callback.on_epoch_begin(epoch)
        set_all(model, epoch + 1)
        callback.on_epoch_end(epoch, {})
    callback.on_epoch_begin(epochs)
    for batch in range(batches):
        set_all(model, epochs + (batch + 1) / 8)
        callback.on_train_batch_end(batch, {})


def test_a_training_goes_on_after_the_last_epoch(tmp_path: Path) -> None:
    model = small_model()
    model.optimizer.build(model.trainable_variables)
    model.optimizer.iterations.assign(12)
    interrupted(BackupAndRestore(tmp_path / "backup"), model, 3)
    assert len(list((tmp_path / "backup").iterdir())) == 2
    fresh = small_model()
    callback = BackupAndRestore(tmp_path / "backup")
    callback.set_model(fresh)
    callback.on_train_begin()
    assert fresh._initial_epoch == 3 and first_weight(fresh) == 3
    assert int(fresh.optimizer.iterations) == 12
    callback.on_train_end()
    assert not (tmp_path / "backup").exists()


def test_a_training_goes_on_after_the_last_batches(tmp_path: Path) -> None:
    interrupted(BackupAndRestore(tmp_path, save_freq=2), small_model(), 1, batches=5)
    fresh = small_model()
    interrupted(BackupAndRestore(tmp_path, save_freq=2), fresh, 1)
    assert fresh._initial_epoch == 1 and first_weight(fresh) == 1.5


def test_without_a_backup_training_begins_at_its_beginning(tmp_path: Path) -> None:
    model = small_model()
    callback = BackupAndRestore(tmp_path / "none")
    callback.set_model(model)
    callback.on_train_begin()
    assert not model._initial_epoch
    callback.on_train_end()


def test_other_peoples_files_stay(tmp_path: Path) -> None:
    (tmp_path / "mine.txt").touch()
    callback = BackupAndRestore(tmp_path)
    interrupted(callback, small_model(), 1)
    callback.on_train_end()
    assert [path.name for path in tmp_path.iterdir()] == ["mine.txt"]


def test_a_backup_can_be_kept(tmp_path: Path) -> None:
    callback = BackupAndRestore(tmp_path, delete_checkpoint=False)
    interrupted(callback, small_model(), 2)
    callback.on_train_end()
    record = json.loads((tmp_path / "training_metadata.json").read_text())
    assert [backup["epoch"] for backup in record["backups"]] == [2]


def test_an_interruption_while_saving_leaves_the_backup_of_before(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model, callback = small_model(), BackupAndRestore(tmp_path)
    interrupted(callback, model, 2)

    def fails(self: Any, path: str, **_: Any) -> None:
        Path(path).write_bytes(b"half")
        raise KeyboardInterrupt

    with monkeypatch.context() as patched, pytest.raises(KeyboardInterrupt):
        patched.setattr(type(model), "save_weights", fails)
        callback.on_epoch_end(2, {})
    fresh = small_model()
    interrupted(BackupAndRestore(tmp_path), fresh, 2)
    assert fresh._initial_epoch == 2 and first_weight(fresh) == 2


def test_a_broken_backup_is_an_error_unless_there_is_one_before(tmp_path: Path) -> None:
    for double in (False, True):
        folder = tmp_path / str(double)
        interrupted(BackupAndRestore(folder, double_checkpoint=double), small_model(), 3)
        assert len(list(folder.glob("*.safetensors"))) == 1 + double
        (folder / "backup-3-0.safetensors").write_bytes(b"broken")
        fresh, callback = small_model(), BackupAndRestore(folder, double_checkpoint=double)
        callback.set_model(fresh)
        if double:
            callback.on_train_begin()
            assert fresh._initial_epoch == 2 and first_weight(fresh) == 2
        else:
            with pytest.raises((OSError, ValueError)):
                callback.on_train_begin()


def test_a_model_without_weights_cannot_take_a_backup(tmp_path: Path) -> None:
    interrupted(BackupAndRestore(tmp_path), small_model(), 1)
    callback = BackupAndRestore(tmp_path)
    callback.set_model(kg.Sequential([kg.layers.Dense(2)]))
    with pytest.raises(GraphError, match="has no weights yet"):
        callback.on_train_begin()


def test_wrong_arguments_of_backups_are_refused() -> None:
    with pytest.raises(ArgumentError, match="backup_dir is empty"):
        BackupAndRestore("")
    with pytest.raises(ArgumentError, match="save_freq wants"):
        BackupAndRestore("x", save_freq=1.5)  # type: ignore[arg-type]
