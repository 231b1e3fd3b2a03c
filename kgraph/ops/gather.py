"""Rows that read at places given by data: take and take_along_axis."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from kgraph.errors import DTypeError, RangeError, ShapeError
from kgraph.graph.index import Index, Operand, Read, choose, index
from kgraph.graph.op import FUNCTIONS, LOOKUP, Op
from kgraph.graph.sizes import Dim, Shape, broadcast_shapes, product, shown
from kgraph.graph.types import SIGNED, UNSIGNED, TensorType, standard_dtype
from kgraph.ops.arithmetic import add, cast, multiply, where
from kgraph.ops.compare import equal, less
from kgraph.ops.move import broadcast_to, iota, reshape, shape_of
from kgraph.tracing.trace import Symbol, as_symbol, primitive


def wrapped(read: Read, size: Dim, dtype: str) -> Index:
    """The place an index from memory means: negative ones count from the end."""
    place = index(read)
    return place if dtype in UNSIGNED else index(choose(place < 0, place + size, place))


def check_indices(indices: np.ndarray, size: int, axis: int, wraps: bool = True) -> None:
    """RangeError where an index points outside its axis."""
    least = -size if wraps else 0
    if indices.size and (indices.min() < least or indices.max() >= size):
        wrong = indices[(indices < least) | (indices >= size)].flat[0]
        raise RangeError(f"index {wrong} is outside axis {axis}, which has {size} elements")


def check_integers(indices: TensorType, op: str) -> None:
    """DTypeError where indices are no integers."""
    if indices.dtype not in SIGNED + UNSIGNED:
        raise DTypeError(f"{op}: indices are {indices.dtype}; they must be integers")


# take ------------------------------------------------------------------------------------------------------------

# wraps=False: a negative index means nothing, and is refused; for numbers of words, say.


def _take_type(x: TensorType, indices: TensorType, axis: int, wraps: bool = True) -> TensorType:
    check_integers(indices, "take")
    return TensorType((*x.shape[:axis], *indices.shape, *x.shape[axis + 1 :]), x.dtype)


def _take_numpy(x: np.ndarray, indices: np.ndarray, axis: int, wraps: bool = True) -> np.ndarray:
    check_indices(indices, x.shape[axis], axis, wraps)
    return np.take(x, indices, axis)


def _take_read(at: list[Index], x: Operand, indices: Operand, axis: int, wraps: bool = True) -> Read:
    end = axis + len(indices.shape)
    place = wrapped(indices[at[axis:end]], x.shape[axis], indices.type.dtype)
    return x[[*at[:axis], place, *at[end:]]]


def _take_vjp(g: Symbol, y: Symbol, x: Symbol, indices: Symbol, axis: int, wraps: bool = True) -> tuple[Any, ...]:
    return FUNCTIONS["scatter_add"](zeros_of(x.type), indices, g, axis=axis), None


def zeros_of(kind: TensorType) -> Symbol:
    """Zeros, without memory for them."""
    return broadcast_to(as_symbol(0, kind.dtype), shape=kind.shape)


take = primitive(
    Op(
        name="take",
        kind="move",
        type=_take_type,
        numpy=_take_numpy,
        read=_take_read,
        vjp=_take_vjp,
        cost=LOOKUP,
    )
)

# take_along_axis -------------------------------------------------------------------------------------------------


def _along_type(x: TensorType, indices: TensorType, axis: int) -> TensorType:
    check_integers(indices, "take_along_axis")
    if x.rank != indices.rank:
        raise ShapeError(f"take_along_axis: x has shape {shown(x.shape)} and indices {shown(indices.shape)}")
    shape = broadcast_shapes(_with(x.shape, axis, 1), _with(indices.shape, axis, 1))
    return TensorType(_with(shape, axis, indices.shape[axis]), x.dtype)


def _with(shape: Shape, axis: int, size: Dim) -> Shape:
    return (*shape[:axis], size, *shape[axis + 1 :])


def _along_numpy(x: np.ndarray, indices: np.ndarray, axis: int) -> np.ndarray:
    check_indices(indices, x.shape[axis], axis)
    return np.take_along_axis(x, indices, axis)


def _along_read(at: list[Index], x: Operand, indices: Operand, axis: int) -> Read:
    place = wrapped(indices[_stretched(at, indices.shape)], x.shape[axis], indices.type.dtype)
    others = _stretched(at, _with(x.shape, axis, 2))
    return x[[place if number == axis else one for number, one in enumerate(others)]]


def _stretched(at: Sequence[Index], shape: Shape) -> list[Index]:
    return [Index() if size == 1 else one for one, size in zip(at, shape, strict=True)]


def _along_vjp(g: Symbol, y: Symbol, x: Symbol, indices: Symbol, axis: int) -> tuple[Any, ...]:
    size = x.type.shape[axis]
    if indices.type.shape[axis] == 1:  # one element of each row: no scatter, so the gradient of a loss fuses
        places = wrap(indices, size)
        line = iota(shape=_with((1,) * x.type.rank, axis, size), axis=axis, dtype=places.type.dtype)
        return where(equal(line, places), g, 0), None
    shape = x.type.shape
    place = flat_places(wrap(indices, size), shape, g.type.shape, axis)
    count = product(shape)
    total = FUNCTIONS["scatter_add"](
        zeros_of(TensorType((count,), g.type.dtype)),
        reshape(place, shape=(product(g.type.shape),)),
        reshape(g, shape=(product(g.type.shape),)),
        axis=0,
    )
    return reshape(total, shape=shape), None


def wrap(indices: Any, size: Dim) -> Any:
    """Indices, of at least 32 bits, with those from the end counted from the front."""
    dtype = standard_dtype(indices.dtype)
    if dtype in UNSIGNED:
        return indices if dtype == "uint64" else cast(indices, "int64" if dtype == "uint32" else "int32")
    if dtype not in ("int32", "int64"):
        indices = cast(indices, "int32")
    return where(less(indices, 0), add(indices, size), indices)


def index_dtype(count: Dim) -> str:
    """The integers that number so many elements."""
    return "int32" if isinstance(count, int) and count < 2**31 else "int64"


def flat_places(along: Any, shape: Shape, result: Shape, axis: int) -> Any:
    """Row-major positions in `shape` of the elements that `along` names on one axis and `result` on the others."""
    dtype = index_dtype(product(shape))
    total: Any = None
    stride: Dim = 1
    for place in reversed(range(len(shape))):
        if place == axis:
            line = cast(along, dtype)
        else:
            line = iota(shape=_with((1,) * len(shape), place, result[place]), axis=place, dtype=dtype)
        if shape[place] != 1 or place == axis:
            line = multiply(line, stride) if stride != 1 else line
            total = line if total is None else add(line, total)
        stride = shape[place] * stride
    return broadcast_to(total, shape=result) if shape_of(total) != result else total


take_along_axis = primitive(
    Op(
        name="take_along_axis",
        kind="move",
        type=_along_type,
        numpy=_along_numpy,
        read=_along_read,
        vjp=_along_vjp,
        cost=LOOKUP,
    )
)
