"""Training that goes on where a file was written: the optimizer's state, and what `compile` was given."""

from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
from exchange import agree

import kgraph as kg
from kgraph.errors import KGraphError

X = np.random.default_rng(0).normal(size=(24, 4)).astype("float32")
Y = (X[:, :2] * 2).astype("float32")
FIT = {"epochs": 1, "batch_size": 8, "shuffle": False, "verbose": 0}

OPTIMIZERS = {
    "adam": lambda k: k.optimizers.Adam(0.02),
    "sgd": lambda k: k.optimizers.SGD(0.05, momentum=0.9, nesterov=True, clipnorm=1.0),
    "rmsprop": lambda k: k.optimizers.RMSprop(0.01, momentum=0.5, centered=True),
    "adamw": lambda k: k.optimizers.AdamW(k.optimizers.schedules.ExponentialDecay(0.05, 2, 0.9), weight_decay=0.01),
    "name": lambda k: "nadam",
}


def model(k: Any, optimizer: str = "adam", **options: Any) -> Any:
    made = k.Sequential([k.Input((4,)), k.layers.Dense(6, "tanh"), k.layers.BatchNormalization(), k.layers.Dense(2)])
    made.compile(OPTIMIZERS[optimizer](k), **{"loss": "mse", "metrics": ["mae"], **options})
    return made


@pytest.mark.parametrize(
    "optimizer", [pytest.param(name, marks=[] if name == "adamw" else pytest.mark.slow) for name in OPTIMIZERS]
)
def test_training_goes_on_in_kgraph_and_in_keras(optimizer: str, tmp_path: Path) -> None:
    theirs = model(keras, optimizer)
    theirs.fit(X, Y, **FIT)
    theirs.save(tmp_path / "theirs.keras")
    ours = kg.models.load_model(tmp_path / "theirs.keras")
    assert ours.get_compile_config() == theirs.get_compile_config()
    assert int(ours.optimizer.iterations.numpy()) == 3
    for one in (ours, theirs):
        one.fit(X, Y, **FIT)
    agree(ours, theirs, X)
    ours.save(tmp_path / "ours.keras")
    back = keras.models.load_model(tmp_path / "ours.keras")
    for own, his in zip(ours.optimizer.variables, back.optimizer.variables, strict=True):
        np.testing.assert_array_equal(own.numpy(), his.numpy())
    np.testing.assert_allclose(ours.evaluate(X, Y, verbose=0), back.evaluate(X, Y, verbose=0), rtol=1e-5)


@pytest.mark.parametrize("name", ["m.keras", "m.weights.h5", "m.safetensors"])
def test_training_goes_on_to_the_bit(name: str, tmp_path: Path) -> None:
    def made() -> Any:
        layers = [kg.Input((4,)), kg.layers.Dense(6, "tanh"), kg.layers.Dropout(0.3, seed=7), kg.layers.Dense(2)]
        one = kg.Sequential(layers)
        one.compile(kg.optimizers.Adam(0.02), "mse")
        return one

    first = made()
    first.fit(X, Y, **FIT)
    (first.save if name == "m.keras" else first.save_weights)(tmp_path / name)
    if name == "m.keras":
        second = kg.models.load_model(tmp_path / name)
    else:
        second = made()
        second.optimizer.build(second.trainable_variables)
        second.load_weights(tmp_path / name)
    for one in (first, second):
        one.fit(X, Y, **FIT)
    agree(first, second, X, exact=True)


@pytest.mark.filterwarnings("ignore:Skipping variable loading:UserWarning")  # Keras says so of its own files too
def test_a_model_that_was_compiled_and_not_trained_comes_back(tmp_path: Path) -> None:
    model(keras).save(tmp_path / "theirs.keras")
    ours = kg.models.load_model(tmp_path / "theirs.keras")
    ours.save(tmp_path / "ours.keras")
    keras.models.load_model(tmp_path / "ours.keras").fit(X, Y, **FIT)
    model(kg).save(tmp_path / "own.keras")
    keras.models.load_model(tmp_path / "own.keras").fit(X, Y, **FIT)
    kg.models.load_model(tmp_path / "own.keras").fit(X, Y, **FIT)


def test_a_model_need_not_be_compiled_again(tmp_path: Path) -> None:
    model(kg).save(tmp_path / "m.keras")
    loaded = kg.models.load_model(tmp_path / "m.keras", compile=False)
    assert loaded.get_compile_config() is None
    with pytest.raises(KGraphError, match="compile"):
        loaded.fit(X, Y, **FIT)


def off_by(y_true: Any, y_pred: Any) -> Any:
    return kg.ops.mean(kg.ops.abs(y_true - y_pred), axis=-1)


def test_losses_and_metrics_of_the_users_are_named(tmp_path: Path) -> None:
    one = model(kg, loss=off_by, metrics=[off_by, kg.metrics.MeanAbsoluteError(name="mine")])
    one.fit(X, Y, **FIT)
    one.save(tmp_path / "m.keras")
    with pytest.raises(KGraphError, match="off_by"):
        kg.models.load_model(tmp_path / "m.keras")
    kg.models.load_model(tmp_path / "m.keras", compile=False)
    other = kg.models.load_model(tmp_path / "m.keras", custom_objects={"off_by": off_by})
    assert other.evaluate(X, Y, verbose=0) == one.evaluate(X, Y, verbose=0)


def test_several_losses_come_back(tmp_path: Path) -> None:
    def made(k: Any) -> Any:
        x = k.Input((4,))
        both = {"a": k.layers.Dense(2, name="a")(x), "b": k.layers.Dense(2, name="b")(x)}
        one = k.Model(x, both)
        how = {"a": "mse", "b": k.losses.Huber()}
        one.compile(
            "sgd", how, loss_weights={"a": 1.0, "b": 0.5}, metrics={"a": ["mae"], "b": k.metrics.MeanSquaredError()}
        )
        return one

    targets = {"a": Y, "b": Y + 1}
    theirs = made(keras)
    theirs.fit(X, targets, **FIT)
    theirs.save(tmp_path / "theirs.keras")
    ours = kg.models.load_model(tmp_path / "theirs.keras")
    for one in (ours, theirs):
        one.fit(X, targets, **FIT)
    agree(ours, theirs, X)
    ours.save(tmp_path / "ours.keras")
    back = keras.models.load_model(tmp_path / "ours.keras")
    own, his = (one.evaluate(X, targets, verbose=0, return_dict=True) for one in (ours, back))
    np.testing.assert_allclose(sorted(own.values()), sorted(his.values()), rtol=1e-5)  # names: Keras's own change
