"""Softmax and its kin, and the activations: compositions of rows, under the names of `keras.ops`."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from kgraph.errors import ArgumentError, ShapeError
from kgraph.graph.op import FUNCTIONS, OPS
from kgraph.graph.sizes import Dim, Size, shown
from kgraph.graph.types import float_limits
from kgraph.ops.arithmetic import absolute, maximum, minimum, multiply, relu, subtract, where
from kgraph.ops.axes import axis_of
from kgraph.ops.compare import greater, greater_equal, less, less_equal
from kgraph.ops.creating import dtype_of
from kgraph.ops.joining import split
from kgraph.ops.missing import looked_up
from kgraph.ops.move import shape_of
from kgraph.ops.normal import erf
from kgraph.ops.probabilities import softmax
from kgraph.ops.tensors import composed, floating, tensor
from kgraph.ops.transcendental import exp, expm1, sigmoid, softplus, sqrt, tanh
from kgraph.tracing.trace import Symbol, is_symbolic, record

SELU_ALPHA, SELU_SCALE = 1.6732632423543772848170429916717, 1.0507009873554804934193349852946  # Klambauer et al., 2017

# softmax's sparse kin --------------------------------------------------------------------------------------------


@composed
def sparsemax(x: Any, axis: int = -1) -> Any:
    """The probabilities nearest to x, many of them 0. Martins, Astudillo, 2016."""
    x = floating(x)
    place, have = axis_of(x, axis), shape_of(x)
    line = tuple(have[place] if one == place else 1 for one in range(len(have)))
    rank = FUNCTIONS["add"](FUNCTIONS["iota"](shape=line, axis=place, dtype=dtype_of(x)), 1.0)
    ordered = FUNCTIONS["flip"](FUNCTIONS["sort"](x, place), place)
    total = FUNCTIONS["cumsum"](ordered, place)
    support = greater(ordered - (total - 1.0) / rank, 0)
    count = FUNCTIONS["sum"](FUNCTIONS["cast"](support, dtype_of(x)), place, keepdims=True)
    chosen = FUNCTIONS["sum"](where(support, ordered, 0), place, keepdims=True)
    return relu(subtract(x, (chosen - 1.0) / count))


# bent lines ----------------------------------------------------------------------------------------------------------


@composed
def relu6(x: Any) -> Any:
    """min(max(x, 0), 6). Its gradient at 0 and at 6 is 0."""
    return where(greater_equal(x, 6), 6, relu(x))


@composed
def leaky_relu(x: Any, negative_slope: float = 0.2) -> Any:
    """x where it is not negative, else negative_slope * x."""
    x = floating(x)
    return where(less(x, 0), multiply(x, negative_slope), x)


@composed
def hard_sigmoid(x: Any) -> Any:
    """min(max(x / 6 + 0.5, 0), 1)."""
    return relu6(floating(x) + 3.0) / 6.0


@composed
def hard_silu(x: Any) -> Any:
    """x * hard_sigmoid(x). Howard et al., 2019."""
    return multiply(floating(x), hard_sigmoid(x))


@composed
def hard_tanh(x: Any) -> Any:
    """min(max(x, -1), 1). Its gradient at -1 and at 1 is 1."""
    return where(greater(x, 1), 1, where(less(x, -1), -1, x))


@composed
def sparse_sigmoid(x: Any) -> Any:
    """0 up to -1, (x + 1) / 2 up to 1, then 1."""
    return minimum(maximum((floating(x) + 1.0) / 2.0, 0.0), 1.0)


@composed
def threshold(x: Any, threshold: float, default_value: float) -> Any:
    """x where it is above the threshold, else default_value."""
    return where(greater(x, threshold), tensor(x), default_value)


@composed
def hard_shrink(x: Any, threshold: float = 0.5) -> Any:
    """x where |x| is above the threshold, else 0."""
    x = floating(x)
    return where(greater(absolute(x), threshold), x, 0)


@composed
def soft_shrink(x: Any, threshold: float = 0.5) -> Any:
    """x brought nearer to 0 by the threshold, and no further."""
    x = floating(x)
    return where(greater(x, threshold), x - threshold, where(less(x, -threshold), x + threshold, 0))


# exponentials ---------------------------------------------------------------------------------------------------------


@composed
def elu(x: Any, alpha: float = 1.0) -> Any:
    """x where it is positive, else alpha * (exp(x) - 1). Clevert et al., 2015."""
    x = floating(x)
    return where(greater(x, 0), x, multiply(expm1(not_positive(x)), alpha))


@composed
def selu(x: Any) -> Any:
    """elu with the constants that keep mean and variance. Klambauer et al., 2017."""
    return multiply(elu(x, SELU_ALPHA), SELU_SCALE)


@composed
def celu(x: Any, alpha: float = 1.0) -> Any:
    """max(x, 0) + min(alpha * (exp(x / alpha) - 1), 0). Barron, 2017."""
    x = floating(x)
    return where(greater(x, 0), x, multiply(expm1(not_positive(x) / alpha), alpha))


def not_positive(x: Any) -> Any:
    """min(x, 0), with a gradient of 1 at 0: of minimum it would be a half, and elu is smooth there."""
    return where(greater(x, 0), 0.0, x)


@composed
def gelu(x: Any, approximate: bool = True) -> Any:
    """x times the normal distribution's cumulative function at x; approximate: by tanh. Hendrycks, Gimpel, 2016."""
    x = floating(x)
    if approximate:
        inner = multiply(x + multiply(x * x * x, 0.044715), math.sqrt(2.0 / math.pi))
        return x * 0.5 * (tanh(inner) + 1.0)
    return x * 0.5 * (erf(x * math.sqrt(0.5)) + 1.0)


@composed
def silu(x: Any) -> Any:
    """x * sigmoid(x). Elfwing et al., 2017."""
    x = floating(x)
    return x * sigmoid(x)


@composed
def mish(x: Any) -> Any:
    """x * tanh(softplus(x)). Misra, 2019."""
    x = floating(x)
    return x * tanh(softplus(x))


@composed
def log_sigmoid(x: Any) -> Any:
    """log(sigmoid(x)) = -softplus(-x)."""
    return -softplus(-floating(x))


@composed
def tanh_shrink(x: Any) -> Any:
    """x - tanh(x)."""
    return subtract(floating(x), tanh(x))


@composed
def glu(x: Any, axis: int = -1) -> Any:
    """The first half along an axis times the sigmoid of the second. Dauphin et al., 2016."""
    x = floating(x)
    place, have = axis_of(x, axis), shape_of(x)
    if not isinstance(have[place], Size) and have[place] % 2:
        raise ShapeError(f"glu of {shown(have)} halves axis {place}, whose size {have[place]} is odd")
    first, second = split(x, 2, axis=place)
    return first * sigmoid(second)


# roots and quotients ----------------------------------------------------------------------------------------------


@composed
def softsign(x: Any) -> Any:
    """x / (|x| + 1)."""
    x = floating(x)
    return x / (absolute(x) + 1.0)


@composed
def squareplus(x: Any, b: float = 4) -> Any:
    """(x + sqrt(x**2 + b)) / 2. Barron, 2021."""
    x = floating(x)
    return (x + sqrt(x * x + b)) * 0.5


@composed
def sparse_plus(x: Any) -> Any:
    """0 up to -1, (x + 1)**2 / 4 up to 1, then x."""
    x = floating(x)
    return where(less_equal(x, -1), 0, where(less(x, 1), FUNCTIONS["square"](x + 1.0) * 0.25, x))


@composed
def linear(x: Any) -> Any:
    """x."""
    return x


# attention -----------------------------------------------------------------------------------------------------------


@composed
def dot_product_attention(
    query: Any,
    key: Any,
    value: Any,
    bias: Any = None,
    mask: Any = None,
    scale: float | None = None,
    is_causal: bool = False,
    flash_attention: bool | None = None,
    attn_logits_soft_cap: float | None = None,
) -> Any:
    """softmax(query @ key * scale + bias) @ value, over the sequences (batch, length, heads, size).

    key and value may have fewer heads, each shared by several of the query. mask: True where a query sees a key.
    scale defaults to 1 / sqrt(size). flash_attention means nothing here: kernels are fused anyway.
    """
    query, key, value = floating(query), floating(key), floating(value)
    if not len(shape_of(query)) == len(shape_of(key)) == len(shape_of(value)) == 4:
        raise ShapeError(
            f"attention takes (batch, length, heads, size), not {shown(shape_of(query))}, {shown(shape_of(key))} "
            f"and {shown(shape_of(value))}"
        )
    heads, kept = shape_of(query)[2], shape_of(key)[2]
    if heads != kept:
        if heads % kept:
            raise ArgumentError(f"attention with {heads} heads of the query for {kept} of the key")
        key, value = (FUNCTIONS["repeat"](one, heads // kept, 2) for one in (key, value))
    scale = 1.0 / math.sqrt(shape_of(query)[3]) if scale is None else scale
    logits = FUNCTIONS["einsum"]("btnh,bsnh->bnts", query, key) * scale
    if bias is not None:
        logits = logits + bias
    if attn_logits_soft_cap is not None:
        logits = tanh(logits / attn_logits_soft_cap) * attn_logits_soft_cap
    if mask is not None or is_causal:
        seen = _causal(query, key) if is_causal else FUNCTIONS["cast"](mask, "bool")
        seen = FUNCTIONS["logical_and"](seen, mask) if is_causal and mask is not None else seen
        logits = where(seen, logits, 0.7 * float_limits(dtype_of(logits))[0])
    return FUNCTIONS["einsum"]("bnts,bsnh->btnh", softmax(logits, 3), value)


def _causal(query: Any, key: Any) -> Any:
    """Whether a query stands at or after a key."""
    rows, columns = shape_of(query)[1], shape_of(key)[1]
    if is_symbolic((query, key)):
        return FUNCTIONS["expand_dims"](triangle(rows, columns), (0, 1))
    return FUNCTIONS["tri"](rows, columns, dtype="bool")


def triangle(rows: Dim, columns: Dim, k: int = 0) -> Symbol:
    """Whether an element of (rows, columns) stands at or below the k-th diagonal.

    `tri` as an expression: inside of a kernel that has been given no mask, and so reads none from memory.
    """
    shapes = (rows, 1), (1, columns)
    row, column = (
        record(OPS["iota"], (), {"shape": shape, "axis": axis, "dtype": "int32"}) for axis, shape in enumerate(shapes)
    )
    return greater_equal(row + k if k else row, column)


for _alias, _function in {"swish": silu, "hard_swish": hard_silu, "exponential": exp}.items():
    FUNCTIONS[_alias] = _function


if not TYPE_CHECKING:

    def __getattr__(name: str) -> Any:
        """What keras.ops.nn has too, and another module here defines."""
        return looked_up(__name__, name)
