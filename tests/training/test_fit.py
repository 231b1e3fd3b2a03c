"""What fit, evaluate and predict take, what they give back, and what bad input comes to."""

from __future__ import annotations

import signal
import threading
import time

import numpy as np
import pytest

import kgraph as kg
from kgraph import layers
from kgraph.errors import ArgumentError, GraphError, RangeError, ShapeError

RNG = np.random.default_rng(7)
X = RNG.normal(size=(50, 4)).astype("float32")
Y = (X @ RNG.normal(size=(4, 2))).astype("float32")


def line(**options) -> kg.Model:
    """A linear model that starts at the same weights."""
    model = kg.Sequential([layers.Input((4,)), layers.Dense(2)])
    model.set_weights([np.full((4, 2), 0.1, "float32"), np.zeros(2, "float32")])
    model.compile(options.pop("optimizer", "sgd"), "mse", **options)
    return model


class Loader:
    """The protocol of torch's DataLoader: iterable, with a length."""

    def __len__(self):
        return 5

    def __iter__(self):
        return ((X[k : k + 10], Y[k : k + 10]) for k in range(0, 50, 10))


class Sequence(kg.utils.PyDataset):
    def __len__(self):
        return 5

    def __getitem__(self, number):
        return X[10 * number : 10 * number + 10], Y[10 * number : 10 * number + 10]


class Frame:
    """What pandas offers."""

    def __init__(self, values):
        self.values, self.shape = values, values.shape

    def to_numpy(self):
        return self.values


def endless():
    while True:
        yield from Loader()


GIVEN = {
    "arrays": lambda: ((X, Y), {}),
    "lists of numbers": lambda: ((X.tolist(), Y.tolist()), {}),
    "float64, in Fortran's order": lambda: ((np.asfortranarray(X.astype("float64")), Y.astype("float64")), {}),
    "a list of one input": lambda: (([X], [Y]), {}),
    "frames": lambda: ((Frame(X), Frame(Y)), {}),
    "a loader": lambda: ((Loader(),), {}),
    "a dataset with items": lambda: ((Sequence(),), {}),
    "a generator": lambda: ((endless(),), {"steps_per_epoch": 5}),
    "more steps than batches": lambda: ((X[:30], Y[:30]), {"steps_per_epoch": 5}),
}


@pytest.mark.parametrize("name", GIVEN)
def test_every_form_of_data_trains_alike(name):
    data, options = GIVEN[name]()
    model = line()
    batch = {} if len(data) == 1 else {"batch_size": 10}
    history = model.fit(*data, epochs=2, shuffle=False, verbose=0, **batch, **options)
    assert history.epoch == [0, 1]
    if name != "more steps than batches":
        known = line().fit(X, Y, epochs=2, shuffle=False, batch_size=10, verbose=0)
        np.testing.assert_allclose(history.history["loss"], known.history["loss"], rtol=1e-6)


@pytest.mark.parametrize("size", [12, 11])
@pytest.mark.parametrize(
    "callbacks", [None, [kg.callbacks.LambdaCallback(on_train_batch_end=lambda batch, logs: None)]]
)
def test_an_epoch_of_fewer_steps_goes_on_where_the_one_before_ended(size, callbacks):
    x = np.arange(size, dtype="float32")[:, None]
    model = kg.Sequential([kg.layers.Input((1,)), kg.layers.Dense(1, kernel_initializer="ones")])
    model.compile(kg.optimizers.SGD(0.0), lambda y, p: p)
    options = {"batch_size": 3, "shuffle": False, "verbose": 0, "callbacks": callbacks}
    found = model.fit(x, x, epochs=3, steps_per_epoch=2, validation_data=(x, x), validation_steps=1, **options).history
    np.testing.assert_allclose(found["loss"], [2.5, x[6:].mean(), 2.5], rtol=1e-6)
    np.testing.assert_allclose(found["val_loss"], [1.0] * 3, rtol=1e-6)


def test_epochs_of_fewer_steps_share_a_shuffled_pass():
    x = np.arange(12, dtype="float32")[:, None]
    model = kg.Sequential([kg.layers.Input((1,)), kg.layers.Dense(1, kernel_initializer="ones")])
    model.compile(kg.optimizers.SGD(0.0), lambda y, p: p)
    losses = model.fit(x, x, epochs=4, steps_per_epoch=1, batch_size=3, verbose=0).history["loss"]
    assert np.mean(losses) == pytest.approx(5.5)


def test_the_last_batch_may_be_incomplete_and_shuffling_reaches_all():
    one, other = line(), line()
    one.fit(X, Y, batch_size=50, epochs=1, shuffle=True, verbose=0)
    other.fit(X, Y, batch_size=50, epochs=1, shuffle=False, verbose=0)
    np.testing.assert_allclose(one.get_weights()[0], other.get_weights()[0], rtol=1e-5)
    history = line().fit(X[:23], Y[:23], batch_size=10, epochs=3, verbose=0)
    assert history.history["loss"][2] < history.history["loss"][0]


def test_batches_told_to_callbacks_are_those_of_a_native_epoch():
    class Heard(kg.callbacks.Callback):
        def __init__(self):
            super().__init__()
            self.batches = []

        def on_train_batch_end(self, batch, logs=None):
            self.batches.append((batch, logs["loss"]))

    heard, told, untold = Heard(), line(), line()
    told.fit(X, Y, batch_size=20, shuffle=False, verbose=0, callbacks=[heard])
    untold.fit(X, Y, batch_size=20, shuffle=False, verbose=0)
    assert [batch for batch, _ in heard.batches] == [0, 1, 2]
    assert all(np.array_equal(a, b) for a, b in zip(told.get_weights(), untold.get_weights(), strict=True))
    few = Heard()
    line(steps_per_execution=2).fit(X, Y, batch_size=20, shuffle=False, verbose=0, callbacks=[few])
    assert [batch for batch, _ in few.batches] == [1, 2]


def test_a_seed_makes_a_run_repeatable_for_any_number_of_threads(monkeypatch):
    runs = []
    for threads in ("1", "2", "5"):
        monkeypatch.setenv("KGRAPH_NUM_THREADS", threads)
        kg.utils.set_random_seed(11)
        model = kg.Sequential(
            [layers.Input((4,)), layers.Dense(32, activation="relu"), layers.Dropout(0.3), layers.Dense(2)]
        )
        model.compile("adam", "mse")
        model.fit(X, Y, epochs=3, batch_size=16, verbose=0)
        runs.append(model.get_weights())
    for other in runs[1:]:
        assert all(np.array_equal(a, b) for a, b in zip(runs[0], other, strict=True))


def test_evaluate_and_predict():
    model = line(metrics=["mae"])
    predicted = model.predict(X, batch_size=8, verbose=0)
    np.testing.assert_allclose(predicted, X @ model.get_weights()[0], rtol=1e-5, atol=1e-6)
    loss, error = model.evaluate(X, Y, batch_size=8, verbose=0)
    assert loss == pytest.approx(np.mean((predicted - Y) ** 2), rel=1e-5)
    assert error == pytest.approx(np.abs(predicted - Y).mean(), rel=1e-5)
    assert model.metrics_names == ["loss", "mae"]
    assert np.array_equal(model.predict_on_batch(X), model.predict(X, batch_size=50, verbose=0))
    assert model.predict(X[:1], verbose=0).shape == (1, 2)
    assert model.predict(iter([X[:3], X[3:5]]), verbose=0).shape == (5, 2)
    found = model.test_on_batch(X, Y, return_dict=True)
    assert found == {"loss": pytest.approx(loss, rel=1e-5), "mae": pytest.approx(error, rel=1e-5)}
    assert set(model.train_on_batch(X, Y, return_dict=True)) == {"loss", "mae"}


def test_validation_at_some_epochs_only():
    history = line().fit(X, Y, validation_data=(X, Y), validation_freq=2, epochs=4, verbose=0).history
    assert len(history["val_loss"]) == 2 and len(history["loss"]) == 4
    history = line().fit(X, Y, validation_split=0.2, validation_freq=[3], epochs=4, verbose=0).history
    assert len(history["val_loss"]) == 1


def test_epochs_to_measure_after_are_named_before_anything_is_trained():
    history = line().fit(X, Y, validation_data=(X, Y), validation_freq=range(2, 4), epochs=4, verbose=0).history
    assert len(history["val_loss"]) == 2
    for wrong in (0, -1, 1.5, None, True, "3"):
        model = line()
        with pytest.raises(ArgumentError, match=f"from 1 on, or a list of epochs, not {wrong!r}"):
            model.fit(X, Y, validation_data=(X, Y), validation_freq=wrong, verbose=0)
        assert model.optimizer.iterations.numpy() == 0


def test_sequences_of_any_length_share_one_step():
    model = kg.Sequential(
        [layers.Input((None,), dtype="int32"), layers.Embedding(9, 3), layers.LSTM(4), layers.Dense(1)]
    )
    model.compile("adam", "mse")
    batches = [(RNG.integers(0, 9, (6, size)), RNG.normal(size=(6, 1))) for size in (3, 5, 8)]
    model.fit(iter(batches), verbose=0)
    assert len(model.steps_for("train")._made) == 1


def test_bad_data_is_refused_before_anything_is_trained():
    model = line()
    before = model.get_weights()
    cases = [
        (ShapeError, "different lengths", lambda: model.fit(X, Y[:40], verbose=0)),
        (ArgumentError, "empty", lambda: model.fit(X[:0], Y[:0], verbose=0)),
        (ValueError, "shape", lambda: model.fit(X, Y[:, :1].repeat(3, 1), verbose=0)),
        (ValueError, "shape", lambda: model.fit(X[:, :3], Y, verbose=0)),
        (ArgumentError, "targets", lambda: model.fit(X, verbose=0)),
        (ArgumentError, "batch_size", lambda: model.fit(X, Y, batch_size=0, verbose=0)),
        (ArgumentError, "validation_split", lambda: model.fit(X, Y, validation_split=1.5, verbose=0)),
        (ArgumentError, "leave y out", lambda: model.fit(Loader(), Y, verbose=0)),
        (ArgumentError, "no batch", lambda: model.fit(iter([]), verbose=0)),
        (ArgumentError, "dict of weights by class", lambda: model.fit(X, Y, class_weight=[1, 2], verbose=0)),
        (ArgumentError, "not both", lambda: model.fit(X, Y, class_weight={0: 1}, sample_weight=X[:, 0], verbose=0)),
        (ShapeError, "one for each of them", lambda: model.fit(X, Y, sample_weight=X, verbose=0)),
        (ArgumentError, "steps", lambda: model.fit(X, Y, steps_per_epoch=0, verbose=0)),
        (ArgumentError, "epochs is an integer", lambda: model.fit(X, Y, epochs="3", verbose=0)),
        (ArgumentError, "x is None", lambda: model.fit(verbose=0)),
        (TypeError, "numbers", lambda: model.fit(np.array([["a"] * 4] * 50), Y, verbose=0)),
    ]
    for error, message, call in cases:
        with pytest.raises(error, match=message):
            call()
    assert all(np.array_equal(a, b) for a, b in zip(before, model.get_weights(), strict=True))
    with pytest.raises(GraphError, match="compile"):
        kg.Sequential([layers.Input((4,)), layers.Dense(2)]).fit(X, Y)


def test_names_that_no_input_or_output_has():
    one, two = layers.Input((4,), name="one"), layers.Input((4,), name="two")
    model = kg.Model([one, two], [layers.Dense(2, name="p")(one), layers.Dense(2, name="q")(two)])
    model.compile("sgd", {"p": "mse", "q": "mse"})
    model.fit({"one": X, "two": X}, {"p": Y, "q": Y}, verbose=0)
    with pytest.raises(ArgumentError, match="'three' is no input"):
        model.fit({"one": X, "three": X}, {"p": Y, "q": Y}, verbose=0)
    with pytest.raises(ArgumentError, match="'r' is no output"):
        model.fit({"one": X, "two": X}, {"p": Y, "r": Y}, verbose=0)
    model.compile("sgd", {"p": "mse", "r": "mse"})
    with pytest.raises(ArgumentError, match="'r' is no output"):
        model.fit({"one": X, "two": X}, {"p": Y, "q": Y}, verbose=0)


def test_data_that_stops_or_raises_leaves_the_model_after_the_last_complete_step():
    def two_then(error):
        yield X[:10], Y[:10]
        yield X[10:20], Y[10:20]
        if error is not None:
            raise error

    known = line()
    known.fit(X[:20], Y[:20], batch_size=10, shuffle=False, verbose=0)
    stopped, raised = line(), line()
    with pytest.raises(ArgumentError, match="2 of 5 steps"):
        stopped.fit(two_then(None), steps_per_epoch=5, verbose=0)
    with pytest.raises(OSError, match="disk"):
        raised.fit(two_then(OSError("disk")), verbose=0)
    for model in (stopped, raised):
        assert all(np.array_equal(a, b) for a, b in zip(known.get_weights(), model.get_weights(), strict=True))


def test_an_index_outside_in_the_middle_of_an_epoch():
    def embedding():
        model = kg.Sequential(
            [layers.Input((3,), dtype="int32"), layers.Embedding(5, 2), layers.Flatten(), layers.Dense(1)]
        )
        model.set_weights([np.full(one.shape, 0.2, "float32") for one in model.get_weights()])
        model.compile("adam", "mse")
        return model

    words = RNG.integers(0, 5, (40, 3)).astype("int32")
    targets = RNG.normal(size=(40, 1)).astype("float32")
    known = embedding()
    known.fit(words[:20], targets[:20], batch_size=10, shuffle=False, verbose=0)
    words[25, 1] = 7
    model = embedding()
    with pytest.raises(RangeError, match="index 7"):
        model.fit(words, targets, batch_size=10, shuffle=False, verbose=0)
    assert all(np.array_equal(a, b) for a, b in zip(known.get_weights(), model.get_weights(), strict=True))
    assert int(model.optimizer.iterations) == 2


def test_nan_ends_training_where_that_is_asked_for():
    model = line()
    history = model.fit(X, Y * np.nan, epochs=5, callbacks=[kg.callbacks.TerminateOnNaN()], verbose=0)
    assert len(history.epoch) == 1


def test_ctrl_c_ends_an_epoch_soon():
    model = line()
    x, y = np.tile(X, (4000, 1)), np.tile(Y, (4000, 1))
    model.fit(x[:64], y[:64], verbose=0)
    timer = threading.Timer(0.3, signal.raise_signal, [signal.SIGINT])
    before = signal.signal(signal.SIGINT, signal.default_int_handler)  # a background job may ignore the signal
    try:
        timer.start()
        begin = time.monotonic()
        with pytest.raises(KeyboardInterrupt):
            model.fit(x, y, batch_size=1, epochs=1000, verbose=0)
        assert time.monotonic() - begin < 5
    finally:
        signal.signal(signal.SIGINT, before)
    assert np.isfinite(model.get_weights()[0]).all()


def test_an_executable_made_before_sees_what_was_trained():
    model = line()
    f = kg.compile(model)
    before = f(X)
    model.fit(X, Y, epochs=2, verbose=0)
    assert not np.allclose(before, f(X))
    np.testing.assert_allclose(f(X), model.predict(X, batch_size=50, verbose=0), rtol=1e-6)


def test_a_loss_says_which_output_does_not_fit_its_target():
    with pytest.raises(ValueError, match="do not broadcast") as caught:
        line().fit(X, np.concatenate([Y] * 3, axis=1), verbose=0)
    assert "loss of output" in caught.value.__notes__[-1]
    assert "y has shape" in caught.value.__notes__[-1]


def test_rows_of_different_lengths_are_no_data():
    with pytest.raises(ShapeError, match=r"x is no array.*pad_sequences"):
        line().predict([[1, 2, 3, 4], [1, 2]], verbose=0)
