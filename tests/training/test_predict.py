"""`predict` served by native code: which calls it takes, and that the others come to the method as ever."""

from __future__ import annotations

import gc
import inspect
import pickle
import sys
import tracemalloc
import weakref
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import kgraph as kg
from kgraph import callbacks, layers
from kgraph.errors import ArgumentError, KGraphError
from kgraph.training import fitting, trainer

X = np.random.default_rng(3).normal(size=(40, 6)).astype(np.float32)


def network() -> kg.Model:
    return kg.Sequential([layers.Input((6,)), layers.Dense(5, activation="relu"), layers.Dense(3)])


@pytest.fixture
def model() -> kg.Model:
    made = network()
    made.predict(X[:1])
    return made


@pytest.fixture
def slow(monkeypatch: pytest.MonkeyPatch) -> Callable[[], int]:
    """How many calls have gone through Python since the last time it was asked. For models made afterwards."""
    calls = 0
    plain = fitting.predict

    def counted(*args: Any, **named: Any) -> Any:
        nonlocal calls
        calls += 1
        return plain(*args, **named)

    def since() -> int:
        nonlocal calls
        found, calls = calls, 0
        return found

    monkeypatch.setattr(trainer.Trainer, "predict", counted)
    monkeypatch.setattr(fitting, "predict", counted)
    return since


IDLE: list[dict[str, Any]] = [
    {},
    {"verbose": 0},
    {"verbose": False},
    {"verbose": "auto"},
    {"batch_size": None},
    {"batch_size": 32, "verbose": 0},
    {"steps": None, "callbacks": None, "verbose": 0, "batch_size": 32},
]
ASKING: list[dict[str, Any]] = [
    {"verbose": 1},
    {"verbose": 0.0},
    {"verbose": np.int64(0)},
    {"verbose": 0, "batch_size": 1},
    {"batch_size": np.int64(32)},
    {"steps": 1, "verbose": 0},
    {"callbacks": [], "verbose": 0},
    {"verbose": "".join(["au", "to"])},
    {"".join(["ver", "bose"]): 0},
]


@pytest.mark.parametrize("named", IDLE, ids=str)
def test_keywords_that_ask_for_nothing_are_served_natively(slow, named):
    model = network()
    first = model.predict(X[:1], **named)
    slow()
    again = model.predict(X[:1], **named)
    assert slow() == 0
    np.testing.assert_array_equal(first, again)
    assert again.flags.owndata and again is not first


@pytest.mark.parametrize("named", ASKING, ids=str)
def test_all_other_keywords_come_to_the_method(slow, named, capsys):
    model = network()
    wanted = model.predict(X[:1])
    slow()
    np.testing.assert_array_equal(model.predict(X[:1], **named), wanted)
    assert slow() == 1


@pytest.mark.parametrize(
    "call",
    [
        lambda model: model.predict(),
        lambda model: model.predict(x=X[:1], out=1),
        lambda model: model.predict(X[:1], out=np.zeros((1, 3), np.float32)),
        lambda model: model.predict(X[:1], verbos=0),
        lambda model: model.predict(X[:1], None, batch_size=None),
        lambda model: model.predict(X[:1], x=X[:1]),
        lambda model: model.predict(X[:1], steps=0),
        lambda model: model.predict(X[:1], batch_size=0),
        lambda model: model.predict(X[:1], batch_size=True, verbose=0),
        lambda model: model.predict(X[:1], batch_size=1.5, verbose=0),
        lambda model: model.predict(X[0, 0], verbose=0),
        lambda model: model.predict(np.float32(1).reshape(()), verbose=0, batch_size=4),
        lambda model: model.predict(X[:0], verbose=0),
        lambda model: model.predict(X[:1, :2], verbose=0),
        lambda model: model.predict_on_batch(),
        lambda model: model.predict_on_batch(X[:1], verbose=0),
        lambda model: model.predict_on_batch(X[:1, :2]),
        lambda model: model.predict_on_batch(X[:0]),
    ],
)
def test_errors_are_those_of_the_method(model, call):
    messages = []
    for made in (model, network()):
        with pytest.raises((KGraphError, TypeError)) as error:
            call(made)
        messages.append((error.type, str(error.value).replace("Trainer.", "").replace(made.name, "model")))
    assert messages[0][0] is messages[1][0]
    assert messages[0] == messages[1]


def test_a_batch_of_any_size_is_served_natively_once_it_was_there(slow):
    model = network()
    wanted = model.predict_on_batch(X)
    slow()
    np.testing.assert_array_equal(model.predict_on_batch(X), wanted)
    assert slow() == 0
    np.testing.assert_allclose(model.predict(X, batch_size=7, verbose=0), wanted, rtol=1e-6)


def test_many_samples_come_in_batches_of_the_size_that_is_asked_for(model):
    sizes: list[int] = []
    note = callbacks.LambdaCallback(on_predict_batch_end=lambda number, logs: sizes.append(len(logs["outputs"])))
    model.predict(X, batch_size=16, verbose=0, callbacks=[note])
    assert sizes == [16, 16, 8]


def test_weights_compile_threads_and_layers_are_those_of_the_moment(model, monkeypatch):
    x = X[:1]

    def agrees(tolerance: float = 1e-5) -> None:
        wanted = model(x)
        for _ in range(2):
            np.testing.assert_allclose(model.predict(x, verbose=0), wanted, rtol=tolerance, atol=tolerance)
            np.testing.assert_allclose(model.predict_on_batch(x), wanted, rtol=tolerance, atol=tolerance)

    agrees()
    model.set_weights([one + 1 for one in model.get_weights()])
    agrees()
    model.layers[0].kernel.assign(np.ones((6, 5), np.float32))
    agrees()
    model.compile("adam", "mse")
    agrees()
    model.fit(X, X[:, :3], verbose=0)
    agrees()
    monkeypatch.setenv("KGRAPH_NUM_THREADS", "1")
    agrees()
    model.compile("sgd", "mse")
    agrees()
    model.add(layers.Dense(2))
    agrees()
    model.pop()
    agrees()


def test_a_callback_may_predict_after_each_epoch(model):
    found: list[np.ndarray] = []
    model.compile("adam", "mse")
    note = callbacks.LambdaCallback(on_epoch_end=lambda epoch, logs: found.append(model.predict(X[:1], verbose=0)))
    model.fit(X, X[:, :3], epochs=3, verbose=0, callbacks=[note])
    assert len(found) == 3 and not np.array_equal(found[0], found[2])
    np.testing.assert_allclose(found[2], model(X[:1]), rtol=1e-5, atol=1e-6)


def test_a_pickled_model_predicts_alike_and_so_does_its_method(model):
    wanted = model.predict(X[:1], verbose=0)
    again = pickle.loads(pickle.dumps(model))
    method = pickle.loads(pickle.dumps(model.predict))
    for _ in range(2):
        np.testing.assert_array_equal(again.predict(X[:1], verbose=0), wanted)
        np.testing.assert_array_equal(method(X[:1], verbose=0), wanted)
        np.testing.assert_array_equal(again.predict_on_batch(X[:1]), wanted)


def test_a_subclass_may_define_either_method():
    class Mine(kg.Model):
        def __init__(self) -> None:
            super().__init__()
            self.dense = layers.Dense(2)

        def call(self, x: Any) -> Any:
            return self.dense(x)

        def predict(self, x: Any, **options: Any) -> Any:
            return super().predict(x, **options) + 1

        def predict_on_batch(self, x: Any) -> Any:
            return super().predict_on_batch(x) + 2

    model = Mine()
    for _ in range(3):
        np.testing.assert_allclose(model.predict(X[:2], verbose=0), model(X[:2]) + 1, rtol=1e-5, atol=1e-6)
        np.testing.assert_allclose(model.predict_on_batch(X[:2]), model(X[:2]) + 2, rtol=1e-5, atol=1e-6)


def test_the_methods_look_as_ever(model):
    for name in ("predict", "predict_on_batch"):
        served, method = getattr(model, name), getattr(kg.Model, name)
        assert served.__doc__.split() == (inspect.getdoc(method) or "").split()
        assert list(inspect.signature(served).parameters) == list(inspect.signature(method).parameters)[1:]


def test_nothing_leaks(model):
    x, size = X[:1].copy(), 2**20
    wide, out = x.astype(np.float64), np.zeros((1, 3), np.float32)
    calls = [
        lambda: model.predict(x, verbose=0),
        lambda: model.predict(x, verbose="auto", batch_size=32, steps=None, callbacks=None),
        lambda: model.predict(wide, verbose=False),
        lambda: model.predict(x, verbose=0, batch_size=size),
        lambda: refused(lambda: model.predict(x, verbose=0, out=out)),
    ]
    things = (x, wide, out, size, "verbose", "auto", "batch_size", 0, False, None, 32, model, np.dtype(np.float32))
    for call in calls:
        call()
    counts = [sys.getrefcount(one) for one in things]
    gc.collect()
    tracemalloc.start()
    try:
        before = tracemalloc.get_traced_memory()[0]
        for call in calls:
            for _ in range(10_000):
                call()
        gc.collect()
        after = tracemalloc.get_traced_memory()[0]
    finally:
        tracemalloc.stop()
    assert after - before < 200_000, "an object of 20 bytes a call, or more"
    grown = [sys.getrefcount(one) - count for one, count in zip(things, counts, strict=True)]
    mine = slice(0, 4)  # what others may drop meanwhile is only not to grow
    assert all(abs(more) < 50 for more in grown[mine]) and all(more < 1000 for more in grown), grown


def test_a_model_that_has_predicted_is_collected(model):
    model = network()
    model.predict(X[:1], verbose=0)
    model.predict(X[:1], verbose=0)
    gone = weakref.ref(model)
    del model
    gc.collect()
    assert gone() is None


def refused(call: Callable[[], Any]) -> None:
    with pytest.raises(TypeError):
        call()


def test_an_empty_dataset_is_an_error_before_and_after(model):
    for _ in range(2):
        with pytest.raises(ArgumentError, match="empty"):
            model.predict(X[:0], verbose=0)
