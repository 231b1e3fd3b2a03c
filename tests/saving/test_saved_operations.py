"""Functions between the layers of a model, as the operations that Keras's files have for them."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
from exchange import agree, there_and_back

import kgraph as kg
from kgraph.errors import SavingError
from kgraph.saving.operations import BY_CLASS, BY_FUNCTION

X = np.random.default_rng(0).uniform(0.1, 0.9, (3, 4, 6)).astype("float32")
INDICES = np.random.default_rng(1).integers(0, 5, (3, 4)).astype("int32")
EYE = np.eye(6, 2, dtype="float32")

# Of (ops, floats (batch, 4, 6), integers (batch, 4)).
CALLS: dict[str, Callable[[Any, Any, Any], Any]] = {
    "operators": lambda o, x, i: -(((x + 1) * 2 - x / 3) ** 2) % 0.7 // 0.1,
    "comparisons": lambda o, x, i: (x > 0.5) & (x <= 0.9) | ~(x == x),
    "indexing": lambda o, x, i: x[:, 1:3, ..., ::-2],
    "an index": lambda o, x, i: x[..., -1] + x[:, 2, :4],
    "a new axis": lambda o, x, i: x[:, None, 0],
    "matmul": lambda o, x, i: x @ EYE,
    "einsum": lambda o, x, i: o.einsum("abc,abd->acd", x, x),
    "where": lambda o, x, i: o.where(x > 0.5, x, 0.0),
    "clip": lambda o, x, i: o.clip(x, 0.2, 0.6),
    "mean": lambda o, x, i: o.mean(x, axis=(1, 2), keepdims=True),
    "sums": lambda o, x, i: o.sum(x, -1) + o.max(x, axis=2) * o.prod(x, axis=-1) - o.min(x, -1),
    "var": lambda o, x, i: o.var(x, axis=1) + o.std(x, axis=1),
    "logsumexp": lambda o, x, i: o.logsumexp(x, axis=-1),
    "argmax": lambda o, x, i: o.argmax(x, axis=-1) + o.argmin(x, axis=-1),
    "any": lambda o, x, i: o.any(x > 0.5, axis=1),
    "cumsum": lambda o, x, i: o.cumsum(x, axis=1) + o.cumprod(x, axis=-1),
    "reshape": lambda o, x, i: o.reshape(x, (-1, 24)),
    "transpose": lambda o, x, i: o.transpose(o.swapaxes(x, 1, 2), (0, 2, 1)) + o.moveaxis(o.moveaxis(x, 1, 2), 2, 1),
    "expand and squeeze": lambda o, x, i: o.squeeze(o.expand_dims(x, 2), 2),
    "repeat and tile": lambda o, x, i: o.repeat(o.tile(x, [1, 1, 2]), 2, axis=1),
    "pad": lambda o, x, i: o.pad(x, [[0, 0], [1, 2], [0, 1]], mode="constant", constant_values=0.5),
    "flip and roll": lambda o, x, i: o.roll(o.flip(x, axis=1), 2, axis=-1),
    "concatenate": lambda o, x, i: o.concatenate([x, x * 2], axis=1),
    "stack": lambda o, x, i: o.stack([x, x], axis=-1),
    "split": lambda o, x, i: o.split(x, 3, axis=-1)[1],
    "unstack": lambda o, x, i: o.unstack(x, 4, axis=1)[3],
    "take": lambda o, x, i: o.take(x, [0, 3, 3], axis=1),
    "take by integers": lambda o, x, i: o.take_along_axis(x, o.expand_dims(i % 4, -1), axis=1),
    "one_hot": lambda o, x, i: o.one_hot(i, 5),
    "cast": lambda o, x, i: o.cast(i, "float32") * 0.5 + o.cast(x[..., 0] * 9, "int32"),
    "tril": lambda o, x, i: o.tril(x) + o.triu(x, 1),
    "outer": lambda o, x, i: o.tensordot(x, EYE, axes=1),
    "powers": lambda o, x, i: o.exp(o.log(x)) + o.sqrt(x) + o.square(x) + o.rsqrt(x) + o.power(x, 3) + o.log1p(x),
    "angles": lambda o, x, i: o.sin(x) + o.cos(x) + o.tan(x) + o.arctan2(x, 2.0) + o.arcsin(x) + o.tanh(x) + o.cosh(x),
    "extremes": lambda o, x, i: o.maximum(x, 0.3) + o.minimum(x, 0.7) + o.abs(x - 0.5) + o.sign(x - 0.5),
    "rounding": lambda o, x, i: o.floor(x * 9) + o.ceil(x * 7) + o.round(x * 5) + o.trunc(x * 3),
    "activations": lambda o, x, i: o.relu(x) + o.sigmoid(x) + o.softplus(x) + o.silu(x) + o.elu(x, 0.7) + o.selu(x),
    "gelu": lambda o, x, i: o.gelu(x, approximate=False) + o.gelu(x) + o.leaky_relu(x, 0.3) + o.hard_sigmoid(x),
    "softmax": lambda o, x, i: o.softmax(x, axis=1) + o.log_softmax(x),
    "erf": lambda o, x, i: o.erf(x) + o.erfinv(x),
    "normalize": lambda o, x, i: o.normalize(x, axis=-1),
    "moments": lambda o, x, i: o.moments(x, axes=[1])[1],
    "layer_normalization": lambda o, x, i: o.layer_normalization(x, axis=-1, epsilon=1e-5),
    "rms_normalization": lambda o, x, i: o.rms_normalization(x, axis=-1),
    "conv": lambda o, x, i: o.conv(x, np.full((2, 6, 3), 0.1, "float32"), padding="same"),
    "attention": lambda o, x, i: o.dot_product_attention(x[:, :, None], x[:, :, None], x[:, :, None]),
    "logical": lambda o, x, i: o.logical_xor(x > 0.2, o.logical_not(x > 0.5)),
    "bits": lambda o, x, i: o.bitwise_and(i, i * 2) + o.bitwise_xor(i, i + 1),
    "like": lambda o, x, i: o.ones_like(x) + o.zeros_like(x) + o.full_like(x, 2.0),
    "stop_gradient": lambda o, x, i: o.stop_gradient(x),
}


def build(k: Any) -> Any:
    x, i = k.Input((4, 6), name="x"), k.Input((4,), dtype="int32", name="i")
    return k.Model([x, i], [call(k.ops, x, i) for call in CALLS.values()])


def test_operations_go_from_keras_to_kgraph_and_back(tmp_path: Path) -> None:
    there_and_back(build, [X, INDICES], tmp_path)


def test_operations_defined_here_open_in_keras(tmp_path: Path) -> None:
    ours = build(kg)
    ours.save(tmp_path / "ours.keras")
    agree(ours, keras.models.load_model(tmp_path / "ours.keras"), [X, INDICES])


def test_every_operation_of_the_table_is_one_of_keras_with_these_options() -> None:
    for operation in BY_CLASS.values():
        module = operation.module.removeprefix("keras.src.ops.")
        theirs = vars(__import__(operation.module, fromlist=[module]))[operation.name]
        options = set(theirs.__init__.__code__.co_varnames[: theirs.__init__.__code__.co_argcount])
        options |= set(theirs.__init__.__code__.co_varnames)
        assert set(operation.options) <= options, operation.name
        assert callable(operation.run)
    assert len(BY_FUNCTION) == len(BY_CLASS)


def test_lists_of_indices_come_back(tmp_path: Path) -> None:
    x = kg.Input((4, 6))
    model = kg.Model(x, x[:, [0, 3, 1]] + x[:, np.array([1, 2, 0])])  # Keras has no such operation
    model.save(tmp_path / "model.keras")
    agree(model, kg.models.load_model(tmp_path / "model.keras"), X, exact=True)


def test_a_function_without_a_like_in_keras_is_refused_where_it_is_saved(tmp_path: Path) -> None:
    x = kg.Input((None, 3))
    total = kg.ops.scan(lambda carry, one: (carry + one, one), x[:, 0], kg.ops.transpose(x, (1, 0, 2)))[0]
    model = kg.Model(x, total)
    with pytest.raises(SavingError, match=r"scan.*inside of a layer"):
        model.save(tmp_path / "model.keras")


def test_a_size_known_only_at_the_call_is_refused_where_it_is_saved() -> None:
    x = kg.Input((None, 3))
    model = kg.Model(x, kg.ops.broadcast_to(x[:, :, None], (*kg.ops.shape(x)[:2], 2, 3)))
    with pytest.raises(SavingError, match=r"broadcast_to.*known only at the call"):
        model.to_json()


def test_a_variable_between_layers_is_refused_where_it_is_saved() -> None:
    x = kg.Input((3,))
    model = kg.Model(x, x * kg.Variable(np.ones(3, "float32"), name="scale"))
    with pytest.raises(SavingError, match="inside of a layer"):
        model.get_config()


def test_layers_keep_the_order_of_keras_where_one_function_is_several_ops(tmp_path: Path) -> None:
    def two(k: Any) -> Any:
        x = k.Input((4,))
        a, b = k.layers.Dense(4, name="a"), k.layers.Dense(4, name="b")
        return k.Model(x, k.ops.relu(b(x)) + k.ops.var(a(x), axis=-1, keepdims=True))

    ours, _ = there_and_back(two, X[:, 0, :4], tmp_path)
    assert [layer.name for layer in ours.layers[1:]] == [layer.name for layer in two(keras).layers[1:]] == ["b", "a"]
