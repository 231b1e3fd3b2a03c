"""Callbacks that watch a metric decide as those of Keras do."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import pytest
from small_models import drive, small_model

import kgraph as kg
from kgraph.errors import ArgumentError, GraphError

keras = pytest.importorskip("keras")
pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")  # keras with numpy 2

SEQUENCES = [np.random.default_rng(seed).integers(0, 40, size=14) / 8 for seed in range(12)]  # steps of 1/8 are exact


@pytest.fixture(scope="module")
def theirs() -> Any:
    model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(2)])
    model.compile(keras.optimizers.SGD(0.1), "mse")
    return model


STOPPING = [
    {},
    {"patience": 2},
    {"patience": 3, "min_delta": 0.5},
    {"patience": 2, "mode": "max"},
    {"patience": 2, "mode": "max", "min_delta": -0.25},
    {"patience": 3, "baseline": 2.0},
    {"patience": 1, "start_from_epoch": 4},
    {"monitor": "loss", "patience": 4, "restore_best_weights": True},
]


@pytest.mark.parametrize("options", STOPPING, ids=str)
def test_early_stopping_stops_when_keras_does(options: dict[str, Any], theirs: Any) -> None:
    model = kg.Sequential([kg.Input((3,)), kg.layers.Dense(2)])
    monitor = options.get("monitor", "val_loss")
    for sequence in SEQUENCES:
        logs = [{monitor: float(value)} for value in sequence]
        ours, judge = kg.callbacks.EarlyStopping(**options), keras.callbacks.EarlyStopping(**options)
        found, wanted = drive(ours, model, logs), drive(judge, theirs, logs)
        assert [state[:2] for state in found] == [state[:2] for state in wanted]
        assert (ours.stopped_epoch, ours.best, ours.best_epoch) == (judge.stopped_epoch, judge.best, judge.best_epoch)


@pytest.mark.parametrize(
    "options",
    [
        {"patience": 2},
        {"patience": 1, "factor": 0.5, "cooldown": 2},
        {"patience": 1, "factor": 0.3, "min_lr": 0.02},
        {"patience": 2, "mode": "max", "min_delta": 0.5},
        {"patience": 0, "factor": 0.9},
    ],
    ids=str,
)
def test_the_learning_rate_is_reduced_when_keras_does(options: dict[str, Any], theirs: Any) -> None:
    model = small_model()
    for sequence in SEQUENCES:
        logs = [{"val_loss": float(value)} for value in sequence]
        for one in (model, theirs):
            one.optimizer.learning_rate = 0.1
        found = drive(kg.callbacks.ReduceLROnPlateau(**options), model, [dict(one) for one in logs])
        wanted = drive(keras.callbacks.ReduceLROnPlateau(**options), theirs, [dict(one) for one in logs])
        assert [state[:2] for state in found] == [state[:2] for state in wanted]
        np.testing.assert_allclose([state[2] for state in found], [state[2] for state in wanted], rtol=1e-6)


def test_the_weights_of_the_best_epoch_come_back(capsys: pytest.CaptureFixture[str]) -> None:
    model = kg.Sequential([kg.Input((3,)), kg.layers.Dense(2)])
    callback = kg.callbacks.EarlyStopping("loss", patience=2, restore_best_weights=True, verbose=1)
    callback.set_model(model)
    callback.on_train_begin()
    for epoch, loss in enumerate([3.0, 1.0, 2.0, 2.0]):
        model.set_weights([np.full(weight.shape, epoch) for weight in model.weights])
        callback.on_epoch_end(epoch, {"loss": loss})
    assert model.stop_training
    callback.on_train_end()
    assert all((weight == 1).all() for weight in model.get_weights())
    said = "Epoch 4: early stopping\nRestoring model weights from the end of the best epoch: 2.\n"
    assert capsys.readouterr().out == said


def test_nan_is_no_improvement_and_anything_improves_on_it() -> None:
    model = kg.Sequential([kg.Input((3,)), kg.layers.Dense(2)])
    callback = kg.callbacks.EarlyStopping("loss", patience=2)
    states = drive(callback, model, [{"loss": value} for value in (np.nan, np.nan, 1.0, np.nan, np.nan)])
    assert [wait for _, wait, _ in states] == [0, 1, 0, 1, 2]
    assert callback.best == 1.0 and callback.stopped_epoch == 4


def test_a_callback_can_be_used_again() -> None:
    model = kg.Sequential([kg.Input((3,)), kg.layers.Dense(2)])
    callback = kg.callbacks.EarlyStopping("loss", patience=1)
    first, second = (drive(callback, model, [{"loss": 1.0}, {"loss": 2.0}, {"loss": 0.0}]) for _ in range(2))
    assert first == second and len(first) == 2


def test_a_metric_that_is_not_there_is_a_warning() -> None:
    model = small_model()
    for callback in (kg.callbacks.EarlyStopping(), kg.callbacks.ReduceLROnPlateau()):
        with pytest.warns(UserWarning, match=r"wants metric 'val_loss'; the metrics are .*loss"):
            assert len(drive(callback, model, [{"loss": 1.0}, {"loss": 1.0}][:1])) == 1
    with pytest.warns(UserWarning, match="wants a single number"):
        drive(kg.callbacks.EarlyStopping("loss"), model, [{"loss": np.ones(2)}])


def test_auto_asks_the_metrics_of_the_model_which_way_is_better() -> None:
    model = small_model(
        metrics=["accuracy", kg.metrics.MeanAbsoluteError(name="distance"), kg.metrics.AUC(name="area")]
    )
    x = np.zeros((4, 3), "float32")
    model.fit(x, np.zeros((4, 2), "float32"), verbose=0)
    ways = {
        "loss": "min",
        "val_loss": "min",
        "accuracy": "max",
        "val_accuracy": "max",
        "distance": "min",
        "area": "max",
    }
    for name, way in ways.items():
        callback = kg.callbacks.EarlyStopping(name)
        callback.set_model(model)
        assert callback.direction() == way, name


def test_auto_wants_to_know_the_metric() -> None:
    callback = kg.callbacks.EarlyStopping("val_something")
    callback.set_model(kg.Sequential([kg.Input((3,)), kg.layers.Dense(2)]))
    with pytest.raises(ArgumentError, match="give mode='max' or mode='min'"):
        drive(callback, callback.model, [{"val_something": 1.0}] * 2)


def test_wrong_settings_are_refused() -> None:
    with pytest.raises(ArgumentError, match="mode='up' is none of auto, min, max"):
        kg.callbacks.EarlyStopping(mode="up")
    with pytest.raises(ArgumentError, match="factor=1 would not reduce"):
        kg.callbacks.ReduceLROnPlateau(factor=1)
    model = kg.Sequential([kg.Input((3,)), kg.layers.Dense(2)])
    with pytest.raises(GraphError, match="has no optimizer"):
        drive(kg.callbacks.ReduceLROnPlateau(), model, [{"val_loss": 1.0}])


def test_the_learning_rate_is_in_the_logs() -> None:
    for callback in (kg.callbacks.ReduceLROnPlateau("loss"), kg.callbacks.LearningRateScheduler(lambda epoch: 0.25)):
        logs: dict[str, Any] = {"loss": 1.0}
        model = small_model(0.25)
        drive(callback, model, [logs])
        assert logs["learning_rate"] == 0.25


@pytest.mark.parametrize(
    "schedule",
    [
        lambda epoch, rate: rate * 0.5,
        lambda epoch: 0.1 / (epoch + 1),
        lambda epoch, rate: np.float32(rate) * np.float32(0.3),
        lambda epoch, rate=0.1: rate,
    ],
)
def test_schedules_are_those_of_keras(schedule: Any, theirs: Any) -> None:
    model = small_model(0.1)
    theirs.optimizer.learning_rate = 0.1
    logs: list[dict[str, Any]] = [{}, {}, {}]
    found = drive(kg.callbacks.LearningRateScheduler(schedule), model, [dict(one) for one in logs])
    wanted = drive(keras.callbacks.LearningRateScheduler(schedule), theirs, [dict(one) for one in logs])
    np.testing.assert_allclose([state[2] for state in found], [state[2] for state in wanted], rtol=1e-6)


def test_a_schedule_may_use_ops(capsys: pytest.CaptureFixture[str]) -> None:
    model = small_model(1.0)
    drive(kg.callbacks.LearningRateScheduler(lambda epoch, rate: rate * kg.ops.exp(-0.5), verbose=1), model, [{}])
    assert float(model.optimizer.learning_rate) == pytest.approx(np.exp(-0.5))
    assert "Epoch 1: LearningRateScheduler setting learning rate to 0.6065" in capsys.readouterr().out


@pytest.mark.parametrize("wrong", [None, 1, "fast", np.ones(2)], ids=str)
def test_a_schedule_must_give_a_float(wrong: Any) -> None:
    with pytest.raises(ArgumentError, match="the schedule must return a float for epoch 0"):
        drive(kg.callbacks.LearningRateScheduler(lambda epoch: wrong), small_model(), [{}])


def test_an_error_inside_a_schedule_is_not_hidden() -> None:
    def schedule(epoch: int, rate: float) -> float:
        raise TypeError("inside")

    with pytest.raises(TypeError, match="inside"):
        drive(kg.callbacks.LearningRateScheduler(schedule), small_model(), [{}])


def test_nothing_else_warns() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        drive(kg.callbacks.EarlyStopping(), small_model(), [{"val_loss": 1.0}])
