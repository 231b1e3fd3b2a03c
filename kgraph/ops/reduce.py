"""Rows that make one element of many along axes (sum, max, ...), and those that run along one axis (cumsum, cumprod).

Attributes: `axes`, a sorted tuple of numbers from 0 on, and `keepdims`; of the running ones, `axis`. max and min take
`of_none`, too: whether no elements have one, which is then the end of their dtype.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from kgraph.errors import ShapeError
from kgraph.graph.op import Op, as_they_are
from kgraph.graph.sizes import Shape, assume_at_least_zero, shown
from kgraph.graph.types import TensorType, ends_of, type_of
from kgraph.ops.arithmetic import cast, divide, multiply, where
from kgraph.ops.compare import equal, logical_and
from kgraph.ops.elementwise import Grad, all_bools, no_bools
from kgraph.ops.move import broadcast_to, flip, reshape
from kgraph.tracing.trace import Symbol, primitive


def reduced(shape: Shape, axes: tuple[int, ...], keepdims: bool) -> Shape:
    """What is left of a shape."""
    if keepdims:
        return tuple(1 if axis in axes else size for axis, size in enumerate(shape))
    return tuple(size for axis, size in enumerate(shape) if axis not in axes)


def kept(value: Symbol, x: Symbol, axes: tuple[int, ...], keepdims: bool) -> Symbol:
    """A result of a reduction of x, with the reduced axes in place, so that it broadcasts to x."""
    return value if keepdims else reshape(value, shape=reduced(x.type.shape, axes, True))


def _same(x: TensorType, axes: tuple[int, ...], keepdims: bool) -> TensorType:
    return TensorType(reduced(x.shape, axes, keepdims), x.dtype)


def _extreme(x: TensorType, axes: tuple[int, ...], keepdims: bool, of_none: bool = False) -> TensorType:
    for axis in () if of_none else axes:
        if x.shape[axis] == 0:
            raise ShapeError(f"the extreme of no elements: axis {axis} of shape {shown(x.shape)} is empty")
        assume_at_least_zero(x.shape[axis] - 1)
    return _same(x, axes, keepdims)


def _extreme_numpy(call: Callable[..., Any], end: int) -> Callable[..., Any]:
    def extreme(x: np.ndarray, axes: tuple[int, ...], keepdims: bool, of_none: bool = False) -> Any:
        options = {"initial": ends_of(type_of(x).dtype)[end]} if of_none else {}
        return call(x, axis=axes, keepdims=keepdims, **options)

    return extreme


def _position(x: TensorType, axes: tuple[int, ...], keepdims: bool) -> TensorType:
    return TensorType(_extreme(x, axes, keepdims).shape, "int32")


def _reduction(name: str, numpy: Callable[..., Any], initial: str | None, combine: str | None, **fields: Any) -> Any:
    fields = {"type": _same, "vjp": lambda g, y, x, axes, keepdims: (None,), **fields}
    return primitive(Op(name=name, kind="reduce", numpy=numpy, initial=initial, combine=combine, **fields))


# gradients ---------------------------------------------------------------------------------------------------------


def _sum_vjp(g: Symbol, y: Symbol, x: Symbol, axes: tuple[int, ...], keepdims: bool) -> Grad:
    return (broadcast_to(kept(g, x, axes, keepdims), shape=x.type.shape),)


def _prod_vjp(g: Symbol, y: Symbol, x: Symbol, axes: tuple[int, ...], keepdims: bool) -> Grad:
    """The product of all others: y / x, unless zeros are among them; with one zero, only that one has a gradient."""
    zero = equal(x, 0)
    zeros = sum_row(cast(zero, "int32"), axes=axes, keepdims=True)
    of_rest = prod_row(where(zero, 1, x), axes=axes, keepdims=True)
    at_zero = where(equal(zeros, 1), of_rest, 0)
    elsewhere = divide(where(equal(zeros, 0), of_rest, 0), where(zero, 1, x))
    return (multiply(kept(g, x, axes, keepdims), where(zero, at_zero, elsewhere)),)


def _extreme_vjp(g: Symbol, y: Symbol, x: Symbol, axes: tuple[int, ...], keepdims: bool, of_none: bool = False) -> Grad:
    """Shared among the elements that are the extreme one."""
    chosen = equal(x, kept(y, x, axes, keepdims))
    count = sum_row(cast(chosen, g.type.dtype), axes=axes, keepdims=True)
    return (where(chosen, divide(kept(g, x, axes, keepdims), count), 0),)


# rows --------------------------------------------------------------------------------------------------------------

sum_row = _reduction(
    "sum",
    lambda x, axes, keepdims: np.sum(x, axis=axes, keepdims=keepdims, dtype=x.dtype),
    "{T}(0)",
    "{0} + {1}",
    casts=no_bools,
    vjp=_sum_vjp,
)
prod_row = _reduction(
    "prod",
    lambda x, axes, keepdims: np.prod(x, axis=axes, keepdims=keepdims, dtype=x.dtype),
    "{T}(1)",
    "{0} * {1}",
    casts=no_bools,
    vjp=_prod_vjp,
)
max_row = _reduction(
    "max",
    _extreme_numpy(np.max, 0),
    "lowest_{T}()",
    "maximum({0}, {1})",
    type=_extreme,
    casts=as_they_are,
    vjp=_extreme_vjp,
)
min_row = _reduction(
    "min",
    _extreme_numpy(np.min, 1),
    "highest_{T}()",
    "minimum({0}, {1})",
    type=_extreme,
    casts=as_they_are,
    vjp=_extreme_vjp,
)
any_row = _reduction(
    "any",
    lambda x, axes, keepdims: np.any(x, axis=axes, keepdims=keepdims),
    "False",
    "{0} | {1}",
    casts=all_bools,
)
all_row = _reduction(
    "all",
    lambda x, axes, keepdims: np.all(x, axis=axes, keepdims=keepdims),
    "True",
    "{0} & {1}",
    casts=all_bools,
)
argmax_row = _reduction(
    "argmax",
    lambda x, axes, keepdims: np.argmax(x, axis=axes[0], keepdims=keepdims),
    None,
    None,
    type=_position,
)
argmin_row = _reduction(
    "argmin",
    lambda x, axes, keepdims: np.argmin(x, axis=axes[0], keepdims=keepdims),
    None,
    None,
    type=_position,
)

# running reductions --------------------------------------------------------------------------------------------------


def _from_the_end(x: Symbol, axis: int) -> Symbol:
    """The sum of each element and all that follow it."""
    return flip(cumsum_row(flip(x, axes=(axis,)), axis=axis), axes=(axis,))


def _cumsum_vjp(g: Symbol, y: Symbol, x: Symbol, axis: int) -> Grad:
    return (_from_the_end(g, axis),)


def _cumprod_vjp(g: Symbol, y: Symbol, x: Symbol, axis: int) -> Grad:
    """Up to the first zero, y / x as if there were none; of the zero itself, the products without it; after it, 0."""
    zero = equal(x, 0)
    zeros = cumsum_row(cast(zero, "int32"), axis=axis)
    first = logical_and(zero, equal(zeros, 1))
    without = cumprod_row(where(first, 1, x), axis=axis)
    before = divide(_from_the_end(multiply(g, y), axis), where(zero, 1, x))
    at = _from_the_end(multiply(g, without), axis)
    return (where(first, at, where(equal(zeros, 0), before, 0)),)


cumsum_row = primitive(
    Op(
        name="cumsum",
        kind="cumulate",
        type=lambda x, axis: x,
        numpy=lambda x, axis: np.cumsum(x, axis=axis, dtype=x.dtype),
        initial="{T}(0)",
        combine="{0} + {1}",
        casts=no_bools,
        vjp=_cumsum_vjp,
    )
)
cumprod_row = primitive(
    Op(
        name="cumprod",
        kind="cumulate",
        type=lambda x, axis: x,
        numpy=lambda x, axis: np.cumprod(x, axis=axis, dtype=x.dtype),
        initial="{T}(1)",
        combine="{0} * {1}",
        casts=no_bools,
        vjp=_cumprod_vjp,
    )
)
