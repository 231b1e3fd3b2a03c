"""What callbacks write down: the history, tables, event files."""

from __future__ import annotations

import csv
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
from small_models import drive, small_model

import kgraph as kg
from kgraph.callbacks import CSVLogger, History, TensorBoard
from kgraph.errors import ArgumentError, MissingExtraError

LOGS = [
    [{"loss": 1.0, "acc": 0.5, "val_loss": 2.0}, {"loss": 0.5, "acc": 0.75, "val_loss": 1.5}],
    [{"loss": 1.0}, {"loss": 0.5, "val_loss": 3.0}],
    [{"loss": 1.0, "val_loss": 2.0}, {"loss": 0.5}, {}],
    [{"loss": 1.0, "per_class": np.array([0.5, 0.25]), "word": 'a "b", c'}],
    [{"loss": np.float32(1.0), "x": np.array(2.0)}],
]


def test_the_history_goes_on_in_a_second_fit() -> None:
    history = History()
    model = small_model()
    drive(history, model, [{"loss": 2.0}, {"loss": 1.0, "val_loss": 3.0}])
    assert history.epoch == [0, 1] and history.history == {"loss": [2.0, 1.0], "val_loss": [3.0]}
    assert history.params["epochs"] == 2
    drive(history, model, [{"loss": 0.5}])
    assert history.epoch == [0] and history.history["loss"] == [2.0, 1.0, 0.5]
    assert model.history is history


def test_plotting_draws_training_and_validation() -> None:
    matplotlib = pytest.importorskip("matplotlib")
    matplotlib.use("agg")
    history = History()
    drive(history, small_model(), [{"loss": 2.0, "acc": 1.0}, {"loss": 1.0, "acc": 1.0, "val_loss": 3.0}])
    figure = history.plot()
    first, second = figure.axes
    lines = {line.get_label(): (list(line.get_xdata()), list(line.get_ydata())) for line in first.lines}
    assert lines == {"training": ([1, 2], [2.0, 1.0]), "validation": ([2], [3.0])}
    assert (first.get_ylabel(), second.get_ylabel()) == ("loss", "acc")
    assert history.plot("acc", axes=second) is figure
    with pytest.raises(ArgumentError, match="1 metrics want as many axes, not 2"):
        history.plot("acc", axes=[first, second])


def test_plotting_says_what_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    history = History()
    with pytest.raises(ArgumentError, match="nothing to plot"):
        history.plot()
    drive(history, small_model(), [{"loss": 2.0, "val_loss": 1.0}])
    with pytest.raises(ArgumentError, match="no metric 'acc'; it has loss"):
        history.plot("acc")
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with pytest.raises(MissingExtraError, match=r"pip install kgraph\[plot\]"):
        history.plot()


@pytest.mark.parametrize("logs", LOGS)
@pytest.mark.parametrize("separator", [",", ";"])
def test_tables_are_those_of_keras(logs: list[dict[str, Any]], separator: str, tmp_path: Path) -> None:
    keras = pytest.importorskip("keras")
    tables: list[list[list[str]]] = []
    for number, kind in enumerate((CSVLogger, keras.callbacks.CSVLogger)):
        path = tmp_path / f"{number}.csv"
        callback = kind(path, separator=separator)
        by_hand(callback, logs)
        callback = kind(str(path), separator=separator, append=True)
        by_hand(callback, logs)
        tables.append(list(csv.reader(path.read_text().splitlines(), delimiter=separator)))
    assert tables[0] == tables[1]
    assert len(tables[0]) == 1 + 2 * len(logs)


def by_hand(callback: Any, sequence: list[dict[str, Any]]) -> None:
    callback.on_train_begin()
    for epoch, logs in enumerate(sequence):
        callback.on_epoch_end(epoch, dict(logs))
    callback.on_train_end()


def test_every_row_is_on_disk_at_once_and_a_new_training_writes_anew(tmp_path: Path) -> None:
    callback = CSVLogger(tmp_path / "log.csv")
    for _ in range(2):
        callback.on_train_begin()
        callback.on_epoch_end(0, {"loss": 1.0, "val_loss": 2.0})
        assert (tmp_path / "log.csv").read_text() == "epoch,loss,val_loss\n0,1.0,2.0\n"
    callback.on_train_end()
    assert callback.csv_file is None


def test_a_table_that_is_empty_gets_a_header_when_it_is_gone_on_with(tmp_path: Path) -> None:
    (tmp_path / "log.csv").touch()
    callback = CSVLogger(tmp_path / "log.csv", append=True)
    by_hand(callback, [{"val_a": 1}])
    assert (tmp_path / "log.csv").read_text() == "epoch,val_a\n0,1\n"


class Writer:
    """Notes what would go to an event file; the judge of names, values and steps, not of the format."""

    made: dict[str, Writer] = {}  # noqa: RUF012

    def __init__(self, folder: str) -> None:
        self.said: list[tuple[Any, ...]] = []
        self.closed = False
        Writer.made[Path(folder).name] = self

    def add_scalar(self, name: str, value: float, step: int) -> None:
        self.said.append((name, value, step))

    def add_histogram(self, name: str, values: np.ndarray, step: int) -> None:
        self.said.append((name, values.shape, step))

    def add_image(self, name: str, picture: np.ndarray, step: int, dataformats: str) -> None:
        self.said.append((name, dataformats, picture.shape, picture.dtype.name, step))

    def add_text(self, name: str, text: str, step: int) -> None:
        self.said.append((name, step))

    def flush(self) -> None:
        pass

    def close(self) -> None:
        self.closed = True


@pytest.fixture
def writers(monkeypatch: pytest.MonkeyPatch) -> dict[str, Writer]:
    module = ModuleType("tensorboardX")
    module.SummaryWriter = Writer  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "tensorboardX", module)
    Writer.made = {}
    return Writer.made


def test_metrics_of_epochs_go_to_tensorboard(writers: dict[str, Writer], tmp_path: Path) -> None:
    callback = TensorBoard(tmp_path, write_graph=False)
    assert not callback.wants("on_train_batch_end") and not callback.wants("on_train_batch_begin")
    drive(callback, small_model(0.25), [{"loss": 2.0, "val_loss": 3.0}, {"loss": 1.0}])
    rates = [("epoch_learning_rate", 0.25, 0), ("epoch_learning_rate", 0.25, 1)]
    assert sorted(writers["train"].said) == [*rates, ("epoch_loss", 1.0, 1), ("epoch_loss", 2.0, 0)]
    assert writers["validation"].said == [("epoch_loss", 3.0, 0)]
    assert writers["train"].closed and writers["validation"].closed


def test_metrics_of_batches_and_speeds_go_to_tensorboard(writers: dict[str, Writer], tmp_path: Path) -> None:
    callback = TensorBoard(tmp_path, write_graph=False, update_freq=2, write_steps_per_second=True)
    assert callback.wants("on_train_batch_end")
    callback.set_model(small_model())
    callback.on_train_begin()
    callback.on_epoch_begin(0)
    for batch in range(5):
        callback.on_train_batch_begin(batch)
        callback.on_train_batch_end(batch, {"loss": float(batch)})
    callback.on_test_end({"loss": 7.0})
    callback.on_epoch_end(0, {"loss": 1.0})
    said = [(name, step) for name, _, step in writers["train"].said]
    batches = [(name, step) for step in (2, 4) for name in ("batch_steps_per_second", "batch_loss")]
    assert said == [*batches, ("epoch_loss", 0), ("epoch_learning_rate", 0), ("epoch_steps_per_second", 0)]
    assert writers["validation"].said == [("evaluation_loss_vs_iterations", 7.0, 0)]


def test_weights_and_the_model_go_to_tensorboard(writers: dict[str, Writer], tmp_path: Path) -> None:
    callback = TensorBoard(tmp_path, histogram_freq=2, write_images=True)
    model = small_model()
    drive(callback, model, [{}, {}, {}])
    kernel, bias = (weight.path for weight in model.weights)
    said = [one for one in writers["train"].said if not one[0].startswith("epoch_")]
    assert said == [
        ("model", 0),
        *(
            entry
            for epoch in (0, 2)
            for entry in (
                (f"{kernel}/histogram", (3, 2), epoch),
                (f"{kernel}/image", "HW", (3, 2), "float32", epoch),
                (f"{bias}/histogram", (2,), epoch),
                (f"{bias}/image", "HW", (1, 2), "float32", epoch),
            )
        ),
    ]


def test_event_files_are_written(tmp_path: Path) -> None:
    pytest.importorskip("tensorboardX")
    callback = TensorBoard(tmp_path, histogram_freq=1, write_images=True)
    drive(callback, small_model(), [{"loss": 1.0, "val_loss": 2.0}])
    for kind in ("train", "validation"):
        assert any((tmp_path / kind).glob("events.out.tfevents.*"))


def test_tensorboard_says_what_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("tensorboardX", "torch.utils.tensorboard"):
        monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(MissingExtraError, match=r"pip install kgraph\[tensorboard\]"):
        TensorBoard()


@pytest.mark.parametrize("options", [{"profile_batch": 2}, {"embeddings_freq": 1}, {"update_freq": "often"}], ids=str)
def test_tensorboard_refuses_what_it_does_not_do(options: dict[str, Any], writers: dict[str, Writer]) -> None:
    with pytest.raises(ArgumentError):
        TensorBoard(**options)


@pytest.mark.parametrize(("shape", "expected"), [((4,), (1, 4)), ((2, 3), (2, 3)), ((3, 1, 2, 4), (12, 2))])
def test_weights_as_pictures(shape: tuple[int, ...], expected: tuple[int, ...]) -> None:
    from kgraph.callbacks.tensorboard import as_picture

    picture = as_picture(np.random.default_rng(0).normal(size=shape))
    assert picture is not None and picture.shape == expected
    assert picture.min() == 0 and picture.max() == 1
    assert as_picture(np.ones((2, 3, 4, 5))) is None


def test_names_are_there() -> None:
    keras = pytest.importorskip("keras")
    missing = {name for name in dir(keras.callbacks) if name[0].isupper()} - set(kg.callbacks.__all__)
    assert missing <= {"OrbaxCheckpoint"}
