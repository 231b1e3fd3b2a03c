"""Public functions that keras.ops has too: the same numbers and the same dtypes, for every kind of operand."""

from __future__ import annotations

import inspect
from typing import Any

import keras
import numpy as np
import pytest
from agreement import traced

from kgraph import ops
from kgraph.errors import ArgumentError, ShapeError
from kgraph.graph.types import numpy_dtype

RANDOM = np.random.default_rng(0)
X = RANDOM.normal(size=(3, 4, 5)).astype(np.float32)
P = np.abs(X) + 0.1
U = RANDOM.uniform(-0.9, 0.9, (3, 4)).astype(np.float32)
I = RANDOM.integers(-4, 9, (3, 4)).astype(np.int32)  # noqa: E741
J = RANDOM.integers(1, 5, (3, 4)).astype(np.int32)
B = I > 2
BYTES = RANDOM.integers(0, 9, (3, 4)).astype(np.uint8)
SPECIAL = np.array([np.nan, np.inf, -np.inf, 0.0, -0.0, 1.5, -2.5, 1e-30], np.float32)

UNARY = [
    "abs", "absolute", "negative", "sign", "square", "sqrt", "rsqrt", "reciprocal", "exp", "expm1", "log", "log1p",
    "log2", "log10", "exp2", "sin", "cos", "tan", "arcsin", "arccos", "arctan", "sinh", "cosh", "tanh", "arcsinh",
    "arccosh", "arctanh", "sigmoid", "softplus", "relu", "erf", "floor", "ceil", "round", "trunc", "isnan", "isinf",
    "isfinite", "logical_not", "isposinf", "isneginf", "signbit", "deg2rad", "rad2deg", "sinc", "cbrt",
    "nan_to_num", "real", "imag", "conj", "angle", "isreal", "sum", "prod", "max", "min", "mean", "var", "std",
    "any", "all", "argmax", "argmin", "logsumexp", "count_nonzero", "cumsum", "cumprod", "amax", "amin", "average",
    "copy", "fabs",
]  # fmt: skip
FLOATING = [
    "relu6", "leaky_relu", "elu", "selu", "celu", "gelu", "silu", "log_sigmoid", "hard_sigmoid", "hard_silu",
    "hard_tanh", "hard_shrink", "soft_shrink", "tanh_shrink", "softsign", "squareplus", "sparse_plus",
    "sparse_sigmoid", "softmax", "log_softmax", "normalize", "rms_normalization",
]  # fmt: skip
BINARY = [
    "add", "subtract", "multiply", "divide", "true_divide", "floor_divide", "mod", "power", "maximum", "minimum",
    "arctan2", "equal", "not_equal", "less", "less_equal", "greater", "greater_equal", "logical_and", "logical_or",
    "logical_xor", "logaddexp", "logaddexp2", "hypot", "fmax", "fmin", "fmod", "heaviside", "divide_no_nan",
    "isclose", "ldexp",
]  # fmt: skip
BITWISE = [
    "bitwise_and", "bitwise_or", "bitwise_xor", "left_shift", "right_shift", "bitwise_left_shift",
    "bitwise_right_shift", "gcd", "lcm",
]  # fmt: skip


def same(have: Any, want: Any, tolerance: float = 2e-5) -> None:
    want = np.asarray(want)
    have = np.asarray(have)
    assert (have.shape, have.dtype.name) == (want.shape, want.dtype.name)
    np.testing.assert_allclose(have, want, rtol=tolerance, atol=1e-6)


def agree(name: str, *args: Any, **options: Any) -> None:
    """Eager and traced calls give what keras.ops gives."""
    with np.errstate(all="ignore"):
        try:
            want = getattr(keras.ops, name)(*args, **options)
        except (TypeError, ValueError):
            pytest.skip("Keras on jax refuses this dtype")
    call = getattr(ops, name)
    same(call(*args, **options), want)
    arrays = [arg for arg in args if isinstance(arg, np.ndarray)]
    rest = [arg for arg in args if not isinstance(arg, np.ndarray)]
    (found,) = traced(lambda *xs: call(*xs, *rest, **options), arrays)
    same(found, want)


@pytest.mark.parametrize("operand", ["float32", "int32", "bool", "uint8", "special"])
@pytest.mark.parametrize("name", UNARY)
def test_functions_of_one_tensor(name: str, operand: str) -> None:
    x = {"float32": X, "int32": I, "bool": B, "uint8": BYTES, "special": SPECIAL}[operand]
    agree(name, x)


@pytest.mark.parametrize("name", FLOATING)
def test_activations_and_normalisations(name: str) -> None:
    agree(name, X)
    agree(name, SPECIAL)


@pytest.mark.parametrize("pair", ["ff", "ii", "if", "fb", "bb", "bi", "ui", "f1", "i1", "i1.5", "b1"])
@pytest.mark.parametrize("name", BINARY)
def test_functions_of_two_tensors(name: str, pair: str) -> None:
    if (name, pair) == ("floor_divide", "bb"):
        pytest.skip("integers divided by 0 are 0 here, as in numpy, and -1 there")
    kinds = {"f": U, "i": J, "b": B, "u": BYTES + np.uint8(1)}
    left = kinds[pair[0]]
    right = kinds[pair[1]] if pair[1] in kinds else float(pair[1:]) if "." in pair else int(pair[1:])
    if name == "power":
        left = np.abs(left) + left.dtype.type(1)
    agree(name, left, right)


@pytest.mark.parametrize("name", BITWISE)
def test_functions_of_bits(name: str) -> None:
    agree(name, J, J[:, :1])
    agree(name, BYTES, BYTES[0])


REDUCING = [
    "sum", "prod", "max", "min", "mean", "var", "std", "any", "all", "logsumexp", "amax", "amin",
]  # fmt: skip


@pytest.mark.parametrize("name", REDUCING)
@pytest.mark.parametrize("axis", [None, 0, -1, (0, 2), (-1, -2)])
@pytest.mark.parametrize("keepdims", [False, True])
def test_axes(name: str, axis: Any, keepdims: bool) -> None:
    agree(name, X, axis=axis, keepdims=keepdims)


OTHER: list[tuple[str, tuple[Any, ...], dict[str, Any]]] = [
    ("argmax", (X,), {"axis": 1}),
    ("argmax", (X,), {"axis": -1, "keepdims": True}),
    ("argmin", (X,), {"keepdims": True}),
    ("max", (X,), {"axis": 1, "initial": 0.5}),
    ("min", (X,), {"axis": 1, "initial": -0.5}),
    ("max", (X[:0],), {"axis": 0, "initial": 1.0}),
    ("count_nonzero", (I,), {"axis": 0}),
    ("average", (X,), {"axis": 1, "weights": P}),
    ("average", (X,), {"axis": 1, "weights": P[0, :, 0]}),
    ("cumsum", (X,), {"axis": 1}),
    ("cumprod", (X,), {"axis": -1}),
    ("cumsum", (I,), {"dtype": "float32"}),
    ("norm", (X,), {}),
    ("norm", (X,), {"axis": 1, "keepdims": True}),
    ("norm", (X,), {"axis": -1, "ord": 1}),
    ("norm", (X,), {"axis": -1, "ord": 3}),
    ("norm", (X,), {"axis": -1, "ord": np.inf}),
    ("norm", (X,), {"axis": -1, "ord": -np.inf}),
    ("norm", (X,), {"axis": -1, "ord": 0}),
    ("norm", (X,), {"axis": (0, 1), "ord": "fro"}),
    ("norm", (X,), {"axis": (0, 1), "ord": 1}),
    ("norm", (X,), {"axis": (1, 0), "ord": -1}),
    ("norm", (X,), {"axis": (-1, 0), "ord": np.inf, "keepdims": True}),
    ("clip", (X, -0.5, 0.5), {}),
    ("clip", (I, 0, 3), {}),
    ("round", (X,), {"decimals": 2}),
    ("round", (I,), {"decimals": -1}),
    ("where", (B, U, 0.0), {}),
    ("where", (B, I, 1.5), {}),
    ("softmax", (X,), {"axis": 1}),
    ("softmax", (X,), {"axis": (0, 2)}),
    ("log_softmax", (X,), {"axis": 0}),
    ("gelu", (X,), {"approximate": False}),
    ("leaky_relu", (X,), {"negative_slope": 0.3}),
    ("elu", (X,), {"alpha": 0.7}),
    ("celu", (X,), {"alpha": 0.7}),
    ("glu", (X[..., :4],), {}),
    ("threshold", (X, 0.3, -7.0), {}),
    ("hard_shrink", (X,), {"threshold": 0.2}),
    ("soft_shrink", (X,), {"threshold": 0.2}),
    ("squareplus", (X,), {"b": 3}),
    ("layer_normalization", (X,), {}),
    ("layer_normalization", (X, P[0, 0], X[0, 0]), {}),
    ("layer_normalization", (X, P[0], X[0]), {"axis": (1, 2), "epsilon": 1e-3}),
    ("rms_normalization", (X, P[0, 0]), {"epsilon": 1e-3}),
    ("normalize", (X,), {"axis": 1}),
    ("normalize", (X,), {"order": 3}),
    ("batch_normalization", (X, X[0, 0], P[0, 0]), {"axis": -1}),
    ("batch_normalization", (X, X[0, :, 0], P[0, :, 0]), {"axis": 1, "offset": X[1, :, 0], "scale": P[1, :, 0]}),
    ("saturate_cast", (X * 200,), {"dtype": "int8"}),
    ("saturate_cast", (X * 1e10,), {"dtype": "int32"}),
    ("saturate_cast", (I,), {"dtype": "uint8"}),
    ("nan_to_num", (SPECIAL,), {"nan": 1.0, "posinf": 2.0, "neginf": 3.0}),
    ("isclose", (SPECIAL, SPECIAL), {"equal_nan": True}),
    ("dot_product_attention", (X[:, None, :, :].repeat(2, 1), X[:, None].repeat(3, 1), X[:, None].repeat(3, 1)), {}),
    ("dot_product_attention", (X[:, :, None], X[:, :, None], X[:, :, None]), {"is_causal": True, "scale": 0.3}),
    ("cast", (X, "int32"), {}),
    ("cast", (I, "bool"), {}),
]


@pytest.mark.parametrize(("name", "args", "options"), OTHER, ids=[f"{n}-{i}" for i, (n, _, _) in enumerate(OTHER)])
def test_arguments(name: str, args: tuple[Any, ...], options: dict[str, Any]) -> None:
    agree(name, *args, **options)


@pytest.mark.parametrize("from_logits", [False, True])
@pytest.mark.parametrize("axis", [-1, 1])
def test_cross_entropies(from_logits: bool, axis: int) -> None:
    output = X if from_logits else P / P.max()
    target = P / P.sum(axis, keepdims=True)
    agree("binary_crossentropy", target, output, from_logits=from_logits)
    agree("categorical_crossentropy", target, output, from_logits=from_logits, axis=axis)
    if axis == -1:
        agree("sparse_categorical_crossentropy", J - 1, output, from_logits=from_logits)
        agree("sparse_categorical_crossentropy", (J - 1)[..., None], output, from_logits=from_logits)


def test_cross_entropies_refuse_other_shapes() -> None:
    with pytest.raises(ShapeError, match=r"\(3, 4, 4\).*\(3, 4, 5\)"):
        ops.categorical_crossentropy(X[..., :4], X)
    with pytest.raises(ShapeError, match="an axis less"):
        ops.sparse_categorical_crossentropy(J[0], X)


@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "float32"])
def test_attention_whose_keys_are_all_hidden_is_their_mean(dtype: str) -> None:
    x = np.zeros((1, 2, 1, 3), numpy_dtype(dtype))
    values = np.arange(6).reshape(x.shape).astype(x.dtype)
    found = ops.dot_product_attention(x, x, values, mask=np.zeros((1, 1, 2, 2), bool))
    np.testing.assert_array_equal(found.astype("float32")[0, :, 0], [[1.5, 2.5, 3.5]] * 2)


def test_axes_outside_and_named_twice() -> None:
    with pytest.raises(ArgumentError, match="axis 3 is outside"):
        ops.sum(X, axis=3)
    with pytest.raises(ArgumentError, match="twice"):
        ops.mean(X, axis=(0, -3))
    with pytest.raises(ArgumentError, match="integer"):
        ops.max(X, axis="last")
    with pytest.raises(ShapeError, match="no elements"):
        ops.max(X[:0], axis=0)


def test_lists_and_numbers_are_tensors() -> None:
    for name in ("sum", "mean", "gelu", "max", "round", "floor", "clip"):
        extra = (0.0, 1.0) if name == "clip" else ()
        same(getattr(ops, name)([1.0, 2.0], *extra), getattr(keras.ops, name)([1.0, 2.0], *extra))
    same(ops.mean([1, 2]), keras.ops.mean([1, 2]))
    same(ops.exp(1), keras.ops.exp(1))


@pytest.mark.parametrize(
    "name", [*UNARY, *FLOATING, *BINARY, "where", "clip", "cast", *sorted({name for name, _, _ in OTHER})]
)
def test_parameters_have_the_names_that_keras_gives_them(name: str) -> None:
    ours = list(inspect.signature(getattr(ops, name)).parameters)
    theirs = list(inspect.signature(getattr(keras.ops, name)).parameters)
    assert ours[: len(theirs)] == theirs
