"""Callbacks in trainings from end to end."""

from __future__ import annotations

import csv
import re
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from small_models import data, small_model
from terminals import Screen, log, seen, terminal, written

import kgraph as kg
from kgraph.callbacks import (
    BackupAndRestore,
    CSVLogger,
    EarlyStopping,
    LambdaCallback,
    LearningRateScheduler,
    ModelCheckpoint,
    ProgbarLogger,
    SwapEMAWeights,
    TerminateOnNaN,
)

X, Y = data()


def test_a_training_writes_a_line_for_each_epoch_into_a_log() -> None:
    console = log()
    model = small_model(metrics=[kg.metrics.MeanAbsoluteError(name="mae")])
    history = model.fit(X, Y, 4, 2, callbacks=[ProgbarLogger(console)], validation_split=0.25)
    lines = written(console).splitlines()
    assert [line.split(" - ")[:2] for line in lines] == [["Epoch 1/2", "3/3"], ["Epoch 2/2", "3/3"]]
    for epoch, line in enumerate(lines):
        said = dict(part.split(": ") for part in line.split(" - ")[4:])
        assert list(said) == ["loss", "mae", "val_loss", "val_mae"]
        assert said == {name: f"{values[epoch]:.4f}" for name, values in history.history.items()}
    assert history.epoch == [0, 1] and history.params["steps"] == 3 and model.history is history


def test_a_training_draws_bars_on_a_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    console = terminal()
    monkeypatch.setattr(sys, "stdout", console.file)
    says = LambdaCallback(on_epoch_end=lambda epoch, logs: print(f"after {epoch}"))
    small_model().fit(X, Y, 4, 2, verbose=1, callbacks=[ProgbarLogger(console), says])
    lines = seen(console)
    assert [line.split(" ")[0] for line in lines] == ["Epoch", "4/4", "after", "Epoch", "4/4", "after", ""]


def test_evaluating_and_predicting_draw_a_bar_each() -> None:
    model, lines = small_model(), []
    for job in (lambda bar: model.evaluate(X, Y, 4, callbacks=[bar]), lambda bar: model.predict(X, 4, callbacks=[bar])):
        console = log()
        job(ProgbarLogger(console))
        assert re.match(r"4/4 - \d+s - ", written(console))
        lines.append(written(console))
    assert ["loss: " in line for line in lines] == [True, False]


@pytest.mark.parametrize("error", [RuntimeError, KeyboardInterrupt])
def test_an_error_in_the_middle_leaves_the_terminal_and_the_weights_in_order(error: type[BaseException]) -> None:
    console, stdout = terminal(), sys.stdout

    def fails(batch: int, logs: Any) -> None:
        if batch == 2:
            raise error

    model = small_model()
    with pytest.raises(error):
        model.fit(X, Y, 2, 2, verbose=1, callbacks=[ProgbarLogger(console), LambdaCallback(on_train_batch_end=fails)])
    screen = Screen().write(written(console))
    assert screen.cursor and screen.column == 0 and sys.stdout is stdout
    assert all(np.isfinite(weight).all() for weight in model.get_weights())
    assert len(model.fit(X, Y, verbose=0).epoch) == 1


def test_callbacks_of_batches_hear_of_every_batch() -> None:
    heard: list[tuple[str, int]] = []
    callback = LambdaCallback(
        on_train_batch_begin=lambda batch, logs: heard.append(("begin", batch)),
        on_train_batch_end=lambda batch, logs: heard.append(("end", batch)),
    )
    small_model().fit(X, Y, 8, 2, verbose=0, callbacks=[callback])
    assert heard == [("begin", 0), ("end", 0), ("begin", 1), ("end", 1)] * 2


def test_training_is_the_same_with_and_without_callbacks_of_batches() -> None:
    losses = []
    for callbacks in ([], [LambdaCallback(on_train_batch_end=lambda batch, logs: None)]):
        kg.utils.set_random_seed(1)
        losses.append(small_model().fit(X, Y, 5, 3, verbose=0, callbacks=callbacks).history["loss"])
    np.testing.assert_allclose(losses[0], losses[1], rtol=1e-6)


def test_training_stops_early_with_the_best_weights() -> None:
    model = small_model(2.5)  # too fast: it gets worse
    before = model.get_weights()
    stopping = EarlyStopping("loss", patience=2, restore_best_weights=True)
    weights = [before]
    notes = LambdaCallback(on_epoch_end=lambda epoch, logs: weights.append(model.get_weights()))
    history = model.fit(X, Y, epochs=9, verbose=0, callbacks=[stopping, notes])
    best = int(np.argmin(history.history["loss"]))
    assert stopping.stopped_epoch == history.epoch[-1] == best + 2 < 8
    for found, wanted in zip(model.get_weights(), weights[best + 1], strict=True):
        np.testing.assert_array_equal(found, wanted)


def test_training_stops_at_nan() -> None:
    x = X.copy()
    x[9] = np.nan
    with pytest.raises(RuntimeError, match="the loss is nan after batch 2"):
        small_model().fit(x, Y, 4, 3, shuffle=False, verbose=0, callbacks=[TerminateOnNaN(raise_error=True)])
    history = small_model().fit(x, Y, 4, 3, shuffle=False, verbose=0, callbacks=TerminateOnNaN())
    assert history.epoch == [0]


def test_a_schedule_sets_the_rate_of_each_epoch(tmp_path: Path) -> None:
    model = small_model()
    callbacks = [LearningRateScheduler(lambda epoch, rate: rate / 2), CSVLogger(tmp_path / "log.csv")]
    history = model.fit(X, Y, epochs=3, verbose=0, callbacks=callbacks)
    np.testing.assert_allclose(history.history["learning_rate"], [0.05, 0.025, 0.0125], rtol=1e-6)
    rows = list(csv.DictReader((tmp_path / "log.csv").read_text().splitlines()))
    assert [float(row["loss"]) for row in rows] == history.history["loss"]


def test_the_best_model_is_saved(tmp_path: Path) -> None:
    pytest.importorskip("h5py")
    model = small_model(0.01)
    path = tmp_path / "{epoch}-{val_loss:.3f}.keras"
    history = model.fit(
        X, Y, epochs=3, verbose=0, validation_data=(X, Y), callbacks=ModelCheckpoint(path, save_best_only=True)
    )
    losses = history.history["val_loss"]
    assert losses == sorted(losses, reverse=True)
    assert {one.name for one in tmp_path.iterdir()} == {f"{n + 1}-{loss:.3f}.keras" for n, loss in enumerate(losses)}
    loaded = kg.models.load_model(tmp_path / f"3-{losses[2]:.3f}.keras")
    np.testing.assert_allclose(loaded.evaluate(X, Y, verbose=0), losses[2], rtol=1e-6)


@pytest.mark.parametrize("save_freq", ["epoch", 4])
def test_a_training_that_was_interrupted_goes_on_as_if_nothing_had_been(tmp_path: Path, save_freq: Any) -> None:
    def momentum() -> kg.Sequential:
        kg.utils.set_random_seed(3)
        model = kg.Sequential([kg.Input((3,)), kg.layers.Dense(2)])
        model.compile(kg.optimizers.Adam(0.05), "mse")
        return model

    def stops(epoch: int, logs: Any) -> None:
        if epoch == 2:
            raise KeyboardInterrupt

    whole = momentum()
    losses = whole.fit(X, Y, 4, 5, shuffle=False, verbose=0).history["loss"]
    model = momentum()
    with pytest.raises(KeyboardInterrupt):
        callbacks = [BackupAndRestore(tmp_path / "b", save_freq), LambdaCallback(on_epoch_begin=stops)]
        model.fit(X, Y, 4, 5, shuffle=False, verbose=0, callbacks=callbacks)
    fresh = momentum()
    callback = BackupAndRestore(tmp_path / "b", save_freq)
    history = fresh.fit(X, Y, 4, 5, shuffle=False, verbose=0, callbacks=[callback])
    first = 2 if save_freq == "epoch" else 1  # the backup after the last batch of epoch 1 is still of that epoch
    assert history.epoch == list(range(first, 5))
    if save_freq == "epoch":
        np.testing.assert_allclose(history.history["loss"], losses[2:], rtol=1e-5)
    assert not (tmp_path / "b").exists()
    assert fresh.fit(X, Y, verbose=0).epoch == [0]


@pytest.mark.parametrize("swap_on_epoch", [False, True])
def test_evaluations_use_the_averages_of_weights(swap_on_epoch: bool) -> None:
    model = kg.Sequential([kg.Input((3,)), kg.layers.Dense(2)])
    model.compile(kg.optimizers.SGD(0.5, use_ema=True, ema_momentum=0.9), "mse")
    at_end: list[np.ndarray] = []
    notes = LambdaCallback(on_epoch_end=lambda epoch, logs: at_end.append(model.get_weights()[0]))
    trained: list[np.ndarray] = []
    begins = LambdaCallback(on_epoch_begin=lambda epoch, logs: trained.append(model.get_weights()[0]))
    history = model.fit(
        X, Y, 4, 3, verbose=0, validation_data=(X, Y), callbacks=[SwapEMAWeights(swap_on_epoch), begins, notes]
    )
    losses = history.history["val_loss"]
    final = model.evaluate(X, Y, verbose=0)
    np.testing.assert_allclose(final, losses[-1], rtol=1e-5)  # training ends with the averages in the model
    for following, end in zip(trained[1:], at_end[:-1], strict=True):
        assert np.allclose(following, end) != swap_on_epoch


def test_a_model_that_predicts_inside_of_a_callback() -> None:
    console = terminal()
    model = small_model()
    shapes: list[Any] = []
    callback = LambdaCallback(on_epoch_end=lambda epoch, logs: shapes.append(model.predict(X, 4, verbose=0).shape))
    model.fit(X, Y, 4, 2, verbose=1, callbacks=[ProgbarLogger(console), callback])
    assert shapes == [(16, 2)] * 2
    assert [line.split(" ")[0] for line in seen(console)] == ["Epoch", "4/4", "Epoch", "4/4", ""]
