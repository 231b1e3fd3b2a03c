"""Convolutions and pooling beside Keras: widths, strides, paddings, dilations, groups; windows are never in memory."""

from __future__ import annotations

from itertools import product
from typing import Any

import keras
import numpy as np
import pytest

import kgraph as kg
from kgraph import ops
from kgraph.errors import ArgumentError, ShapeError
from kgraph.graph.evaluate import evaluate

rng = np.random.default_rng(0)
SIZES = (9, 8, 7)


def numbers(*shape: int) -> np.ndarray:
    return rng.normal(size=shape).astype("float32")


def close(have: np.ndarray, want: Any) -> None:
    want = np.asarray(want)
    assert have.shape == want.shape
    np.testing.assert_allclose(have, want, rtol=1e-4, atol=1e-5 * max(1, np.abs(want).max(initial=0)))


def some(cases: Any, step: int) -> list[Any]:
    """Every step-th case; the others are slow."""
    return [
        pytest.param(*case, marks=() if number % step == 0 else pytest.mark.slow) for number, case in enumerate(cases)
    ]


WAYS = [
    (axes, width, stride, padding, dilation, groups)
    for axes, width, stride, padding, dilation, groups in product(
        (1, 2, 3), (1, 2, 3), (1, 2), ("valid", "same"), (1, 2), (1, 2, 6)
    )
    if stride == 1 or dilation == 1
]


@pytest.mark.parametrize(("axes", "width", "stride", "padding", "dilation", "groups"), some(WAYS, 5))
def test_convolutions_are_those_of_keras(axes, width, stride, padding, dilation, groups):
    x, w = numbers(2, *SIZES[:axes], 6), numbers(*(width,) * axes, 6 // groups, 12)
    given = (x, w, stride, padding)
    close(ops.conv(*given, dilation_rate=dilation), keras.ops.conv(*given, dilation_rate=dilation))


TRANSPOSED = [
    (axes, width, stride, padding, more)
    for axes, width, stride, padding, more in product((1, 2), (1, 2, 3), (1, 2, 3), ("valid", "same"), (None, 0, 1))
    if more is None or more < stride
]


@pytest.mark.parametrize(("axes", "width", "stride", "padding", "more"), some(TRANSPOSED, 3))
def test_transposed_convolutions_are_those_of_keras(axes, width, stride, padding, more):
    x, w = numbers(2, *SIZES[:axes], 6), numbers(*(width,) * axes, 5, 6)
    given = (x, w, stride, padding, more)
    close(ops.conv_transpose(*given), keras.ops.conv_transpose(*given))


@pytest.mark.parametrize("kind", ["max_pool", "average_pool"])
@pytest.mark.parametrize(
    ("axes", "width", "stride", "padding"), some(product((1, 2, 3), (2, 3), (1, 2), ("valid", "same")), 2)
)
def test_pooling_is_that_of_keras(kind, axes, width, stride, padding):
    x = numbers(2, *SIZES[:axes], 6)
    wide, far = (width,) * axes, (stride,) * axes
    close(getattr(ops, kind)(x, wide, far, padding), getattr(keras.ops, kind)(x, wide, far, padding))


CALLS = {
    "wide": ((15, 13), (3, 3, 24, 48), {}),
    "same": ((15, 13), (3, 3, 24, 48), {"padding": "same"}),
    "strided": ((15, 13), (3, 3, 24, 20), {"padding": "same", "strides": 2}),
    "dilated": ((15, 13), (3, 3, 24, 20), {"dilation_rate": 2}),
    "narrow": ((15, 13), (3, 3, 2, 20), {}),
    "of width one": ((15, 13), (1, 1, 24, 20), {"strides": 2}),
    "depthwise": ((15, 13), (3, 3, 1, 24), {"padding": "same"}),
    "grouped": ((15, 13), (3, 3, 6, 20), {}),
    "causal": ((15,), (3, 24, 20), {"padding": "causal"}),
    "of planes": ((5, 6, 4), (2, 2, 2, 24, 7), {}),
    "one place": ((3, 3), (3, 3, 24, 5), {}),
}


class Convolving(kg.layers.Layer):
    """A convolution with its weights, and what usually follows."""

    def __init__(self, shape: Any, **how: Any) -> None:
        super().__init__()
        self.shape, self.how = shape, how

    def build(self, input_shape: Any) -> None:
        self.kernel = self.add_weight(shape=self.shape, name="kernel")
        self.bias = self.add_weight(shape=self.shape[-1:], name="bias", initializer="ones")

    def call(self, x: Any) -> Any:
        return ops.relu(ops.conv(x, self.kernel, **self.how) + self.bias)


@pytest.mark.parametrize("batch", [0, 1, 5])
@pytest.mark.parametrize("name", CALLS)
def test_compiled_convolutions_and_their_gradients_are_the_evaluated_ones(name, batch):
    sizes, shape, how = CALLS[name]
    groups = {"grouped": 4, "depthwise": 24}.get(name, 1)
    i = kg.Input((*sizes, shape[-2] * groups))
    model = kg.Model(i, Convolving(shape, **how)(i))
    compiled = kg.compile(model)
    x = numbers(batch, *sizes, shape[-2] * groups)
    close(compiled(x), model(x))
    out, pullback = compiled.vjp(x)
    dy = numbers(*out.shape)
    dx, weights = pullback(dy)
    wanted = evaluate(compiled._pullback().stages["gradients"], [x, dy], "float64")[0]
    for have, want in zip([dx, *weights], wanted, strict=True):
        close(have, want)


def test_windows_are_read_where_they_lie() -> None:
    i = kg.Input((15, 13, 24))
    ir = kg.compile(kg.Model(i, Convolving((3, 3, 24, 48))(i)), lower_only=True).ir
    kernels = [node for node in ir if node.op not in ("input", "param")]
    assert [node.op for node in kernels] == ["fused"]
    assert "windows" in {node.op for node in kernels[0].body}


def test_sizes_may_be_known_only_at_the_call() -> None:
    i = kg.Input((None, None, 24))
    model = kg.Model(i, kg.layers.MaxPooling2D(padding="same")(Convolving((3, 3, 24, 8), padding="same")(i)))
    compiled = kg.compile(model)
    for shape in ((2, 5, 6, 24), (1, 8, 3, 24)):
        x = numbers(*shape)
        close(compiled(x), model(x))


def test_what_does_not_fit_is_refused() -> None:
    x = numbers(2, 5, 5, 6)
    with pytest.raises(ShapeError, match="multiple of the 4"):
        ops.conv(x, numbers(3, 3, 4, 8))
    with pytest.raises(ShapeError, match="larger than the input"):
        ops.conv(x, numbers(7, 3, 6, 8))
    with pytest.raises(ShapeError, match="split into 2 groups"):
        ops.conv(x, numbers(3, 3, 3, 7))
    with pytest.raises(ArgumentError, match="strides is a whole number"):
        ops.conv(x, numbers(3, 3, 6, 8), strides=0)
    with pytest.raises(ArgumentError, match="padding is"):
        ops.conv(x, numbers(3, 3, 6, 8), padding="full")
    with pytest.raises(ArgumentError, match="data_format"):
        ops.max_pool(x, 2, data_format="channels_middle")
    with pytest.raises(ShapeError, match="larger than the input"):
        ops.max_pool(x, 6)
    with pytest.raises(ShapeError, match="number of channels"):
        kg.layers.Conv2D(3, 3)(kg.Input((5, 5, None)))
