"""`value_and_grad` beside Keras and jax: every loss, weights of samples, several outputs, saturated probabilities."""

from __future__ import annotations

from typing import Any

import jax
import keras
import numpy as np
import pytest

import kgraph as kg
from kgraph.errors import ArgumentError, ShapeError

pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")

FEATURES, CLASSES = 5, 4
REAL, BINARY, ONE_HOT, LABELS = "real", "binary", "one hot", "labels"

TABLE: list[tuple[str, dict[str, Any], str, str | None]] = [  # loss, its options, targets, the last activation
    ("MeanSquaredError", {}, REAL, None),
    ("MeanAbsoluteError", {}, REAL, None),
    ("MeanAbsolutePercentageError", {}, REAL, None),
    ("MeanSquaredLogarithmicError", {}, BINARY, "softplus"),
    ("Huber", {"delta": 0.5}, REAL, None),
    ("LogCosh", {}, REAL, None),
    ("CosineSimilarity", {}, REAL, None),
    ("KLDivergence", {}, ONE_HOT, "softmax"),
    ("Poisson", {}, BINARY, "softplus"),
    ("Hinge", {}, BINARY, None),
    ("SquaredHinge", {}, BINARY, "tanh"),
    ("CategoricalHinge", {}, ONE_HOT, None),
    ("BinaryCrossentropy", {}, BINARY, "sigmoid"),
    ("BinaryCrossentropy", {"label_smoothing": 0.2}, BINARY, "sigmoid"),
    ("BinaryCrossentropy", {"from_logits": True}, BINARY, None),
    ("BinaryFocalCrossentropy", {}, BINARY, "sigmoid"),
    ("CategoricalCrossentropy", {}, ONE_HOT, "softmax"),
    ("CategoricalCrossentropy", {}, ONE_HOT, "sigmoid"),
    ("CategoricalCrossentropy", {"label_smoothing": 0.1}, ONE_HOT, "softmax"),
    ("CategoricalCrossentropy", {"from_logits": True}, ONE_HOT, None),
    ("CategoricalFocalCrossentropy", {}, ONE_HOT, "softmax"),
    ("SparseCategoricalCrossentropy", {}, LABELS, "softmax"),
    ("SparseCategoricalCrossentropy", {"from_logits": True}, LABELS, None),
    ("SparseCategoricalCrossentropy", {"ignore_class": 1}, LABELS, "softmax"),
    ("Dice", {}, BINARY, "sigmoid"),
    ("Tversky", {}, BINARY, "sigmoid"),
    ("CategoricalGeneralizedCrossEntropy", {"q": 0.4}, LABELS, "softmax"),
]
SATURATED = [
    row
    for row in TABLE
    if row[0].endswith("Crossentropy") and row != ("CategoricalCrossentropy", {}, ONE_HOT, "sigmoid")  # 0 / 0
]
NAMED = {
    "mse": (REAL, None),
    "mae": (REAL, None),
    "binary_crossentropy": (BINARY, "sigmoid"),
    "categorical_crossentropy": (ONE_HOT, "softmax"),
    "sparse_categorical_crossentropy": (LABELS, "softmax"),
}


def name_of(row: Any) -> str:
    return f"{row[0]}({', '.join(f'{key}={value}' for key, value in row[1].items())})-{row[3]}"


def each(table: list[Any]) -> Any:
    return pytest.mark.parametrize(("name", "options", "targets", "activation"), table, ids=map(name_of, table))


def dense(activation: str | None, name: str | None = None, width: int = CLASSES, scale: float = 1.0) -> Any:
    """A layer with weights of this scale."""
    draw = np.random.default_rng(3)
    layer = kg.layers.Dense(width, activation=activation, name=name)
    layer(np.zeros((1, FEATURES), "float32"))
    layer.set_weights([draw.normal(0, scale, (FEATURES, width)), draw.normal(0, scale / 2, width)])
    return layer


def batch(size: int, targets: str, width: int = CLASSES) -> tuple[np.ndarray, np.ndarray]:
    """Inputs and targets."""
    draw = np.random.default_rng(size)
    labels = draw.integers(0, width, size).astype("int32")
    made = {
        REAL: draw.normal(size=(size, width)).astype("float32"),
        BINARY: draw.integers(0, 2, (size, width)).astype("float32"),
        ONE_HOT: np.eye(width, dtype="float32")[labels],
        LABELS: labels,
    }
    return draw.normal(size=(size, FEATURES)).astype("float32"), made[targets]


def predicted(x: np.ndarray, kernel: Any, bias: Any, activation: str | None) -> Any:
    return keras.activations.get(activation)(keras.ops.matmul(x, kernel) + bias)


def by_keras(loss: Any, layer: Any, activation: str | None, x: Any, y: Any, weight: Any = None) -> tuple[Any, Any]:
    """Loss and gradients of a dense layer, computed by Keras and jax in float64: in float32 log(1 - p) loses digits."""
    call = lambda weights: loss(y, predicted(x, *weights, activation), sample_weight=weight)
    with jax.enable_x64(True):
        x, weights = x.astype("float64"), [value.astype("float64") for value in layer.get_weights()]
        return jax.tree.map(np.asarray, jax.value_and_grad(call)(weights))


def near(found: tuple[float, list[Any]], wanted: tuple[Any, list[Any]], tolerance: float = 1e-5) -> None:
    """Loss and gradients equal, each array to within a part of its largest element."""
    assert np.shape(found[0]) == ()
    for own, his in zip([found[0], *found[1]], [wanted[0], *wanted[1]], strict=True):
        largest = max(1e-3, float(np.abs(his).max()))
        np.testing.assert_allclose(own, his, rtol=0, atol=tolerance * largest)


def model_of(layer: Any) -> Any:
    i = kg.Input((FEATURES,))
    return kg.Model(i, layer(i))


@each(TABLE)
def test_loss_and_gradients_are_those_of_keras(name: str, options: Any, targets: str, activation: str | None) -> None:
    layer, judge = dense(activation), getattr(keras.losses, name)(**options, dtype="float64")
    compiled = kg.compile(model_of(layer), loss=getattr(kg.losses, name)(**options))
    for size in (1, 17):
        x, y = batch(size, targets)
        near(compiled.value_and_grad(x, y), by_keras(judge, layer, activation, x, y))
        if name not in ("Dice", "Tversky"):  # these give one number for the batch
            weight = np.random.default_rng(0).uniform(0, 2, size).astype("float32")
            near(compiled.value_and_grad(x, y, weight), by_keras(judge, layer, activation, x, y, weight))


@pytest.mark.parametrize("name", NAMED)
def test_a_loss_goes_by_its_name(name: str) -> None:
    targets, activation = NAMED[name]
    layer = dense(activation)
    x, y = batch(9, targets)
    judge = keras.losses.get(name)
    loss = lambda y_true, y_pred, sample_weight: keras.ops.mean(judge(y_true, y_pred))
    near(kg.compile(model_of(layer), loss=name).value_and_grad(x, y), by_keras(loss, layer, activation, x, y))


@each(SATURATED)
@pytest.mark.parametrize("scale", [30.0, 1e4, 1e8])
def test_saturated_probabilities_have_finite_gradients(
    name: str, options: Any, targets: str, activation: str | None, scale: float
) -> None:
    layer = dense(activation, scale=scale)
    x, y = batch(17, targets)
    loss, gradients = kg.compile(model_of(layer), loss=getattr(kg.losses, name)(**options)).value_and_grad(x, y)
    wanted = float(by_keras(getattr(keras.losses, name)(**options, dtype="float64"), layer, activation, x, y)[0])
    assert np.isfinite(loss)
    assert all(np.isfinite(gradient).all() for gradient in gradients)
    assert loss == pytest.approx(wanted, rel=2e-2)  # 1 - epsilon is another number in float32


def test_a_confident_and_wrong_prediction_still_learns() -> None:
    """softmax rounds to 0 what the gradient of the logits needs not; the clipped loss of Keras would stand still."""
    layer = dense("softmax", scale=0.0)
    layer.set_weights([np.zeros((FEATURES, CLASSES)), np.array([0.0, 15.0, 0.0, 0.0])])
    x, y = np.zeros((1, FEATURES), "float32"), np.array([0], "int32")
    _, (_, bias) = kg.compile(model_of(layer), loss="sparse_categorical_crossentropy").value_and_grad(x, y)
    np.testing.assert_allclose(bias, [-1, 1, 0, 0], atol=1e-5)


def two_outputs() -> tuple[Any, Any, Any]:
    """A model whose outputs are called zebra and ant, in this order."""
    first, second = dense("softmax", "zebra"), dense(None, "ant", 3)
    i = kg.Input((FEATURES,))
    return kg.Model(i, [first(i), second(i)]), first, second


@pytest.mark.parametrize(
    "weights",
    [None, [0.3, 2.0], {"ant": 2.0, "zebra": 0.3}],
    ids=["none", "list", "dict"],
)
@pytest.mark.parametrize("named", [False, True])
def test_the_losses_of_several_outputs_are_weighed(weights: Any, named: bool) -> None:
    model, first, second = two_outputs()
    losses: Any = ["sparse_categorical_crossentropy", "mae"]
    x, y = batch(11, LABELS)
    _, other = batch(11, REAL, 3)
    targets: Any = [y, other]
    if named:
        losses = {"ant": losses[1], "zebra": losses[0]}
        targets = {"ant": other, "zebra": y}
    compiled = kg.compile(model, loss=losses, loss_weights=weights)
    share, rest = (1.0, 1.0) if weights is None else (0.3, 2.0)
    one = by_keras(keras.losses.SparseCategoricalCrossentropy(dtype="float64"), first, "softmax", x, y)
    two = by_keras(keras.losses.MeanAbsoluteError(dtype="float64"), second, None, x, other)
    wanted = share * one[0] + rest * two[0], [share * g for g in one[1]] + [rest * g for g in two[1]]
    near(compiled.value_and_grad(x, targets), wanted)
    weight = np.linspace(0, 2, 11).astype("float32")
    one = by_keras(keras.losses.SparseCategoricalCrossentropy(dtype="float64"), first, "softmax", x, y, weight)
    two = by_keras(keras.losses.MeanAbsoluteError(dtype="float64"), second, None, x, other, weight)
    wanted = share * one[0] + rest * two[0], [share * g for g in one[1]] + [rest * g for g in two[1]]
    near(compiled.value_and_grad(x, targets, weight), wanted)


def test_one_loss_serves_all_outputs() -> None:
    model, first, second = two_outputs()
    x, y = batch(6, ONE_HOT)
    _, other = batch(6, REAL, 3)
    one = by_keras(keras.losses.MeanSquaredError(dtype="float64"), first, "softmax", x, y)
    two = by_keras(keras.losses.MeanSquaredError(dtype="float64"), second, None, x, other)
    near(kg.compile(model, loss="mse").value_and_grad(x, [y, other]), (one[0] + two[0], [*one[1], *two[1]]))


def test_outputs_that_are_a_dict_have_targets_by_their_keys() -> None:
    first, second = dense(None, "ant"), dense(None, "zebra", 3)
    i = kg.Input((FEATURES,))
    model = kg.Model(i, {"y": first(i), "b": second(i)})
    x, y = batch(6, REAL)
    _, other = batch(6, REAL, 3)
    one = by_keras(keras.losses.MeanSquaredError(dtype="float64"), first, None, x, y)
    two = by_keras(keras.losses.MeanAbsoluteError(dtype="float64"), second, None, x, other)
    compiled = kg.compile(model, loss={"b": "mae", "y": "mse"}, loss_weights={"b": 2.0, "y": 0.5})
    loss, gradients = compiled.value_and_grad(x, {"y": y, "b": other})
    order = {id(variable): number for number, variable in enumerate(model.trainable_variables)}
    gradients = [gradients[order[id(variable)]] for variable in [*first.weights, *second.weights]]
    wanted = 0.5 * one[0] + 2 * two[0], [0.5 * g for g in one[1]] + [2 * g for g in two[1]]
    near((loss, gradients), wanted)


def test_targets_may_be_lists() -> None:
    layer = dense(None)
    compiled = kg.compile(model_of(layer), loss="mse")
    x, y = batch(4, REAL)
    wanted = compiled.value_and_grad(x, y)
    for odd in (y.tolist(), [y], y.astype("float64"), np.asfortranarray(y)):
        near(compiled.value_and_grad(x.tolist(), odd), wanted)


def test_labels_may_have_any_integer_type_and_an_axis_of_size_1() -> None:
    compiled = kg.compile(model_of(dense("softmax")), loss="sparse_categorical_crossentropy")
    x, y = batch(4, LABELS)
    wanted = compiled.value_and_grad(x, y)
    for odd in (y.tolist(), y.astype("int64"), y.astype("uint8"), y[:, None], y.astype("float32")):
        near(compiled.value_and_grad(x, odd), wanted)


def test_weights_of_samples_may_have_an_axis_of_time() -> None:
    layer = dense(None)
    i = kg.Input((None, FEATURES))
    compiled = kg.compile(kg.Model(i, layer(i)), loss="mse")
    draw = np.random.default_rng(0)
    x, y, weight = (draw.uniform(size=(3, 7, *rest)).astype("float32") for rest in ((FEATURES,), (CLASSES,), ()))
    near(
        compiled.value_and_grad(x, y, weight),
        by_keras(keras.losses.MeanSquaredError(dtype="float64"), layer, None, x, y, weight),
    )


def test_regularizers_and_added_losses_count() -> None:
    layer = kg.layers.Dense(CLASSES, kernel_regularizer="l2", activity_regularizer="l1")
    model = model_of(layer)
    x, y = batch(6, REAL)

    def call(weights: Any) -> Any:
        made = predicted(x, *weights, None)
        mean = keras.losses.MeanSquaredError()(y, made)
        return mean + 0.01 * keras.ops.sum(weights[0] ** 2) + 0.01 * keras.ops.sum(abs(made)) / 6

    near(kg.compile(model, loss="mse").value_and_grad(x, y), jax.value_and_grad(call)(layer.get_weights()))


def test_an_empty_batch_has_a_loss_of_0() -> None:
    layer = dense("softmax")
    loss, gradients = kg.compile(model_of(layer), loss="categorical_crossentropy").value_and_grad(
        np.zeros((0, FEATURES), "float32"), np.zeros((0, CLASSES), "float32")
    )
    assert loss == 0
    assert all((gradient == 0).all() for gradient in gradients)


def test_targets_that_do_not_fit_are_refused() -> None:
    model, _, _ = two_outputs()
    x, y = batch(4, ONE_HOT)
    compiled = kg.compile(model, loss="mse")
    with pytest.raises(ArgumentError, match="one target for each output"):
        compiled.value_and_grad(x, y)
    with pytest.raises(ArgumentError, match="zebra"):
        compiled.value_and_grad(x, {"zebra": y, "bee": y})
    single = kg.compile(model_of(dense("softmax")), loss="categorical_crossentropy")
    with pytest.raises(ShapeError):
        single.value_and_grad(x, y[:, :3])
    with pytest.raises(ShapeError):
        single.value_and_grad(x, y[:3])
    with pytest.raises(ShapeError):
        single.value_and_grad(x, y, np.ones(3, "float32"))
