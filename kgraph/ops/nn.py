"""Softmax and its kin, and the activations: compositions of rows, under the names of `keras.ops`."""

from __future__ import annotations

import math
from typing import Any

from kgraph.errors import ArgumentError
from kgraph.op import FUNCTIONS
from kgraph.ops.arithmetic import absolute, maximum, minimum, relu, sign, stop_gradient, where
from kgraph.ops.axes import axes_of
from kgraph.ops.joining import split
from kgraph.ops.normal import erf
from kgraph.ops.reduce import max_row, sum_row
from kgraph.ops.transcendental import exp, expm1, log, sigmoid, softplus, sqrt, tanh
from kgraph.trace import function

SELU_ALPHA, SELU_SCALE = 1.6732632423543772, 1.0507009873554805  # Klambauer et al., 2017


def _below_largest(x: Any, axes: Any) -> Any:
    """x less its largest element along the axes: exp of it cannot overflow. Its gradient is that of x alone."""
    return x - stop_gradient(max_row(x, axes=axes, keepdims=True))


@function
def softmax(x: Any, axis: Any = -1) -> Any:
    """exp(x) / sum(exp(x)) along an axis or several."""
    axes = axes_of(x, axis)
    e = exp(_below_largest(x, axes))
    return e / sum_row(e, axes=axes, keepdims=True)


@function
def log_softmax(x: Any, axis: Any = -1) -> Any:
    """log(softmax(x)), without the cancellation of computing it in two steps."""
    axes = axes_of(x, axis)
    below = _below_largest(x, axes)
    return below - log(sum_row(exp(below), axes=axes, keepdims=True))


@function
def relu6(x: Any) -> Any:
    """min(max(x, 0), 6)."""
    return minimum(relu(x), 6.0)


@function
def leaky_relu(x: Any, negative_slope: float = 0.2) -> Any:
    """x where it is positive, else negative_slope * x."""
    return where(x > 0, x, x * negative_slope)


@function
def elu(x: Any, alpha: float = 1.0) -> Any:
    """x where it is positive, else alpha * (exp(x) - 1). Clevert et al., 2015."""
    return where(x > 0, x, expm1(minimum(x, 0.0)) * alpha)


@function
def selu(x: Any) -> Any:
    """Scaled elu. Klambauer et al., 2017."""
    return elu(x, SELU_ALPHA) * SELU_SCALE


@function
def celu(x: Any, alpha: float = 1.0) -> Any:
    """max(x, 0) + min(alpha * (exp(x / alpha) - 1), 0). Barron, 2017."""
    return relu(x) + expm1(minimum(x, 0.0) / alpha) * alpha


@function
def gelu(x: Any, approximate: bool = True) -> Any:
    """x times the normal distribution's cumulative function at x; approximate: by tanh. Hendrycks, Gimpel, 2016."""
    if approximate:
        inner = (x + x * x * x * 0.044715) * math.sqrt(2.0 / math.pi)
        return x * 0.5 * (1.0 + tanh(inner))
    return x * 0.5 * (1.0 + erf(x * math.sqrt(0.5)))


@function
def silu(x: Any) -> Any:
    """x * sigmoid(x). Elfwing et al., 2017."""
    return x * sigmoid(x)


@function
def mish(x: Any) -> Any:
    """x * tanh(softplus(x)). Misra, 2019."""
    return x * tanh(softplus(x))


@function
def softsign(x: Any) -> Any:
    """x / (|x| + 1)."""
    return x / (absolute(x) + 1.0)


@function
def log_sigmoid(x: Any) -> Any:
    """log(sigmoid(x)) = -softplus(-x)."""
    return -softplus(-x)


@function
def hard_sigmoid(x: Any) -> Any:
    """min(max(x / 6 + 0.5, 0), 1)."""
    return minimum(maximum(x / 6.0 + 0.5, 0.0), 1.0)


@function
def hard_silu(x: Any) -> Any:
    """x * hard_sigmoid(x). Howard et al., 2019."""
    return x * hard_sigmoid(x)


@function
def hard_tanh(x: Any) -> Any:
    """min(max(x, -1), 1)."""
    return minimum(maximum(x, -1.0), 1.0)


@function
def tanh_shrink(x: Any) -> Any:
    """x - tanh(x)."""
    return x - tanh(x)


@function
def hard_shrink(x: Any, threshold: float = 0.5) -> Any:
    """x where |x| is above the threshold, else 0."""
    return where(absolute(x) > threshold, x, 0.0)


@function
def soft_shrink(x: Any, threshold: float = 0.5) -> Any:
    """x brought nearer to 0 by the threshold, and no further."""
    return sign(x) * relu(absolute(x) - threshold)


@function
def threshold(x: Any, threshold: float, default_value: float) -> Any:
    """x where it is above the threshold, else default_value."""
    return where(x > threshold, x, default_value)


@function
def squareplus(x: Any, b: float = 4) -> Any:
    """(x + sqrt(x^2 + b)) / 2. Barron, 2021."""
    return (x + sqrt(x * x + b)) / 2.0


@function
def sparse_plus(x: Any) -> Any:
    """0 up to -1, (x + 1)^2 / 4 up to 1, then x."""
    return where(x <= -1, 0.0, where(x < 1, (x + 1.0) * (x + 1.0) / 4.0, x))


@function
def sparse_sigmoid(x: Any) -> Any:
    """0 up to -1, (x + 1) / 2 up to 1, then 1."""
    return minimum(maximum((x + 1.0) / 2.0, 0.0), 1.0)


@function
def glu(x: Any, axis: int = -1) -> Any:
    """The first half along an axis times the sigmoid of the second. Dauphin et al., 2016."""
    (axis,) = axes_of(x, axis)
    size = x.shape[axis]
    if size is None or size % 2:
        raise ArgumentError(f"glu halves axis {axis}, whose size {size} is not even")
    first, second = split(x, 2, axis=axis)
    return first * sigmoid(second)


@function
def linear(x: Any) -> Any:
    """x."""
    return x


@function
def divide_no_nan(x1: Any, x2: Any) -> Any:
    """x1 / x2, and 0 where x2 is 0."""
    zero = FUNCTIONS["equal"](x2, 0)
    return where(zero, 0.0, x1 / where(zero, 1.0, x2))


for _alias, _name in (("swish", "silu"), ("hard_swish", "hard_silu"), ("exponential", "exp")):
    FUNCTIONS.setdefault(_alias, FUNCTIONS[_name])
