"""Losses beside Keras: values, weights of samples, reductions, names."""

from typing import Any

import keras
import numpy as np
import pytest

import kgraph as kg
from kgraph.errors import ArgumentError, ShapeError
from kgraph.graph.types import TensorType

pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")

DRAW = np.random.default_rng(0)
REAL = (DRAW.normal(size=(6, 4)).astype("float32"), DRAW.normal(size=(6, 4)).astype("float32"))
SHARES = DRAW.dirichlet(np.ones(4), 6).astype("float32")
ONE_HOT = np.eye(4, dtype="float32")[[0, 1, 2, 3, 1, 1]]
LABELS = np.array([0, 1, 2, 3, 1, 1], "int32")
BINARY = (DRAW.integers(0, 2, (6, 4)).astype("float32"), DRAW.uniform(0, 1, (6, 4)).astype("float32"))
POSITIVE = (DRAW.uniform(0.1, 2, (6, 4)).astype("float32"), DRAW.uniform(0.1, 2, (6, 4)).astype("float32"))
UNIT = REAL[1] / np.linalg.norm(REAL[1], axis=1, keepdims=True)
SPEECH = (np.array([[1, 2, 2], [3, 1, 0], [0, 0, 0]]), DRAW.normal(size=(3, 7, 4)).astype("float32"))

TABLE: list[tuple[str, dict[str, Any], Any, Any]] = [
    ("MeanSquaredError", {}, *REAL),
    ("MeanAbsoluteError", {}, *REAL),
    ("MeanAbsolutePercentageError", {}, *REAL),
    ("MeanSquaredLogarithmicError", {}, *POSITIVE),
    ("Huber", {}, *REAL),
    ("Huber", {"delta": 0.3}, *REAL),
    ("LogCosh", {}, *REAL),
    ("CosineSimilarity", {}, *REAL),
    ("CosineSimilarity", {"axis": 0}, *REAL),
    ("KLDivergence", {}, SHARES[::-1].copy(), SHARES),
    ("Poisson", {}, *POSITIVE),
    ("Hinge", {}, *BINARY),
    ("Hinge", {}, np.sign(REAL[0]), REAL[1]),
    ("SquaredHinge", {}, *BINARY),
    ("CategoricalHinge", {}, ONE_HOT, REAL[1]),
    ("BinaryCrossentropy", {}, *BINARY),
    ("BinaryCrossentropy", {"label_smoothing": 0.2}, *BINARY),
    ("BinaryCrossentropy", {"from_logits": True}, BINARY[0], REAL[1] * 5),
    ("BinaryFocalCrossentropy", {}, *BINARY),
    ("BinaryFocalCrossentropy", {"apply_class_balancing": True, "alpha": 0.4, "gamma": 1.5}, *BINARY),
    ("BinaryFocalCrossentropy", {"from_logits": True}, BINARY[0], REAL[1]),
    ("CategoricalCrossentropy", {}, ONE_HOT, SHARES),
    ("CategoricalCrossentropy", {"label_smoothing": 0.1}, ONE_HOT, SHARES * 3),
    ("CategoricalCrossentropy", {"from_logits": True}, ONE_HOT, REAL[1] * 5),
    ("CategoricalFocalCrossentropy", {}, ONE_HOT, SHARES),
    ("CategoricalFocalCrossentropy", {"from_logits": True, "gamma": 1.0}, ONE_HOT, REAL[1]),
    ("SparseCategoricalCrossentropy", {}, LABELS, SHARES),
    ("SparseCategoricalCrossentropy", {"from_logits": True}, LABELS, REAL[1] * 5),
    ("SparseCategoricalCrossentropy", {"ignore_class": 1}, LABELS, SHARES),
    ("SparseCategoricalCrossentropy", {}, LABELS[:, None], SHARES),
    ("Dice", {"axis": 1}, *BINARY),
    ("Tversky", {"alpha": 0.3, "beta": 0.7, "axis": 1}, *BINARY),
    ("CategoricalGeneralizedCrossEntropy", {"q": 0.4}, LABELS, SHARES),
    ("CTC", {}, *SPEECH),
    ("Circle", {}, LABELS, UNIT),
    ("Circle", {"gamma": 20.0, "margin": 0.3, "remove_diagonal": False}, LABELS, UNIT),
]


def name_of(row: Any) -> str:
    return f"{row[0]}({', '.join(f'{key}={value}' for key, value in row[1].items())})"


every_loss = pytest.mark.parametrize(("name", "options", "y_true", "y_pred"), TABLE, ids=map(name_of, TABLE))


@every_loss
@pytest.mark.parametrize("reduction", ["sum_over_batch_size", "sum", "mean", "mean_with_sample_weight", None])
@pytest.mark.parametrize("weighted", [False, True])
def test_values_are_those_of_keras(
    name: str, options: dict[str, Any], y_true: Any, y_pred: Any, reduction: str | None, weighted: bool
) -> None:
    ours = getattr(kg.losses, name)(**options, reduction=reduction)
    theirs = getattr(keras.losses, name)(**options, reduction=reduction)
    length = y_pred.shape[1] if options.get("axis") == 0 else len(y_pred)
    weight = np.linspace(0.1, 2, length).astype("float32") if weighted else None
    want = np.asarray(theirs(y_true, y_pred, sample_weight=weight))
    got = np.asarray(ours(y_true, y_pred, sample_weight=weight))
    assert got.shape == want.shape
    np.testing.assert_allclose(got, want, rtol=2e-5, atol=2e-6)


@every_loss
def test_a_loss_is_made_again_from_its_configuration(
    name: str, options: dict[str, Any], y_true: Any, y_pred: Any
) -> None:
    loss = getattr(kg.losses, name)(**options)
    twin = kg.losses.deserialize(kg.losses.serialize(loss))
    assert type(twin) is type(loss)
    assert twin.get_config() == loss.get_config()
    np.testing.assert_array_equal(twin(y_true, y_pred), loss(y_true, y_pred))
    assert set(getattr(keras.losses, name)(**options).get_config()) <= set(loss.get_config())


@pytest.mark.parametrize("name", ["mse", "MAE", "mape", "msle", "kld", "bce", "categorical_crossentropy", "huber"])
def test_names_mean_functions(name: str) -> None:
    assert kg.losses.get(name).__name__ == keras.losses.get(name).__name__
    assert type(kg.losses.get_loss(name)).__name__ in dir(keras.losses)


def test_weights_of_higher_rank_fit_losses_over_time() -> None:
    y_true, y_pred = DRAW.normal(size=(3, 5, 2)).astype("float32"), DRAW.normal(size=(3, 5, 2)).astype("float32")
    weight = DRAW.uniform(size=(3, 5)).astype("float32")
    ours, theirs = kg.losses.MeanSquaredError(), keras.losses.MeanSquaredError()
    np.testing.assert_allclose(ours(y_true, y_pred, weight), np.asarray(theirs(y_true, y_pred, weight)), rtol=1e-6)


def test_a_function_of_the_user_is_a_loss() -> None:
    loss = kg.losses.get_loss(lambda y_true, y_pred: kg.ops.mean(kg.ops.absolute(y_true - y_pred), axis=-1))
    np.testing.assert_allclose(loss(*REAL), np.abs(REAL[0] - REAL[1]).mean(), rtol=1e-6)


def test_targets_are_indices_for_sparse_losses() -> None:
    assert kg.losses.get_loss("sparse_categorical_crossentropy").target_type(TensorType((8, 5, 10))) == ((5,), "int32")
    assert kg.losses.get_loss("mse").target_type(TensorType((8, 5, 10))) == ((5, 10), "float32")


def test_wrong_arguments_are_named() -> None:
    with pytest.raises(ArgumentError, match="did you mean"):
        kg.losses.get("mean_squared_eror")
    with pytest.raises(ArgumentError, match="reduction"):
        kg.losses.MeanSquaredError(reduction="average")
    with pytest.raises(ShapeError, match=r"target has shape \(6, 3\)"):
        kg.losses.CategoricalCrossentropy()(ONE_HOT[:, :3], SHARES)


@every_loss
def test_losses_of_symbols_are_those_of_arrays(name: str, options: dict[str, Any], y_true: Any, y_pred: Any) -> None:
    loss = getattr(kg.losses, name)(**options)
    target, output = kg.Input(y_true.shape[1:], dtype=y_true.dtype), kg.Input(y_pred.shape[1:])
    model = kg.Model([target, output], loss(target, output))
    np.testing.assert_allclose(model([y_true, y_pred]), loss(y_true, y_pred), rtol=1e-5, atol=1e-7)


def test_a_function_as_loss_gets_targets_and_predictions_at_one_rank():
    """Otherwise a column of predictions beside a vector of targets would be compared all with all."""
    shapes = []

    def squared(y_true, y_pred):
        shapes.append((y_true.shape, y_pred.shape))
        return kg.ops.mean(kg.ops.square(y_true - y_pred))

    model = kg.Sequential([kg.Input((3,)), kg.layers.Dense(1)])
    model.compile("sgd", squared)
    x, y = np.random.default_rng(0).random((8, 3), dtype=np.float32), np.arange(8, dtype=np.float32)
    found = model.evaluate(x, y, verbose=0)
    np.testing.assert_allclose(found, np.mean((model.predict(x, verbose=0)[:, 0] - y) ** 2), rtol=1e-5)
    assert all(one == other for one, other in shapes)
