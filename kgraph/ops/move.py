"""Rows that move elements: each element of the result is one element of an operand, found at another index."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import reduce as fold
from itertools import accumulate
from typing import Any

import numpy as np

from kgraph.errors import ShapeError
from kgraph.graph.index import Condition, Index, Operand, Read, choose, flatten, unflatten
from kgraph.graph.op import FUNCTIONS, Op, common
from kgraph.graph.sizes import Dim, Shape, assume_at_least_zero, minimum, product, shown, unify
from kgraph.graph.types import TensorType, numpy_dtype, promote
from kgraph.tracing.trace import Symbol, as_symbol, primitive, stacked

Grad = tuple[Any, ...]


def shape_of(x: Any) -> Shape:
    """The shape of a symbol, a variable, an array or nested lists; sizes known only at the call are Sizes."""
    kind = getattr(stacked(x), "type", None)
    return kind.shape if isinstance(kind, TensorType) else tuple(np.shape(x))


# reshape ---------------------------------------------------------------------------------------------------------


def _reshape_type(x: TensorType, shape: Shape) -> TensorType:
    try:
        unify(x.size, product(shape))
    except ShapeError:
        raise ShapeError(
            f"reshape of {shown(x.shape)}, which has {x.size} elements, to {shown(shape)}, which has {product(shape)}"
        ) from None
    return TensorType(tuple(shape), x.dtype)


def _reshape_read(at: list[Index], x: Operand, shape: Shape) -> Read:
    long = [(one, size) for one, size in zip(at, shape, strict=True) if size != 1]
    if [size for _, size in long] == [size for size in x.shape if size != 1]:  # only axes of size 1 come or go
        rest = iter(long)
        return x[[Index() if size == 1 else next(rest)[0] for size in x.shape]]
    return x[unflatten(flatten(at, shape), x.shape)]


reshape: Callable[..., Any] = primitive(
    Op(
        name="reshape",
        kind="move",
        type=_reshape_type,
        numpy=lambda x, shape: np.reshape(x, shape),
        read=_reshape_read,
        vjp=lambda g, y, x, shape: (reshape(g, shape=x.type.shape),),
    )
)


# transpose, flip -------------------------------------------------------------------------------------------------


def _transpose_type(x: TensorType, axes: tuple[int, ...]) -> TensorType:
    if sorted(axes) != list(range(x.rank)):
        raise ShapeError(f"transpose of {shown(x.shape)} with axes {axes}: wanted each of 0..{x.rank - 1} once")
    return TensorType(tuple(x.shape[axis] for axis in axes), x.dtype)


def inverse(axes: tuple[int, ...]) -> tuple[int, ...]:
    """The permutation that undoes this one."""
    return tuple(axes.index(axis) for axis in range(len(axes)))


transpose: Callable[..., Any] = primitive(
    Op(
        name="transpose",
        kind="move",
        type=_transpose_type,
        numpy=lambda x, axes: np.transpose(x, axes),
        read=lambda at, x, axes: x[[at[place] for place in inverse(axes)]],
        vjp=lambda g, y, x, axes: (transpose(g, axes=inverse(axes)),),
    )
)


def _flip_read(at: list[Index], x: Operand, axes: tuple[int, ...]) -> Read:
    return x[[x.shape[axis] - 1 - one if axis in axes else one for axis, one in enumerate(at)]]


flip: Callable[..., Any] = primitive(
    Op(
        name="flip",
        kind="move",
        type=lambda x, axes: x,
        numpy=lambda x, axes: np.flip(x, axes),
        read=_flip_read,
        vjp=lambda g, y, x, axes: (flip(g, axes=axes),),
    )
)


# broadcast_to ----------------------------------------------------------------------------------------------------


def _broadcast_type(x: TensorType, shape: Shape) -> TensorType:
    own = shape[len(shape) - x.rank :]
    try:
        if len(own) != x.rank:
            raise ShapeError("fewer axes")
        for have, want in zip(x.shape, own, strict=True):
            if have != 1:
                unify(have, want)
    except ShapeError:
        raise ShapeError(f"broadcast_to of {shown(x.shape)} to {shown(shape)}: neither equal nor 1") from None
    return TensorType(tuple(shape), x.dtype)


def _broadcast_read(at: list[Index], x: Operand, shape: Shape) -> Read:
    own = at[len(at) - len(x.shape) :]
    return x[[Index() if size == 1 else one for size, one in zip(x.shape, own, strict=True)]]


broadcast_to = primitive(
    Op(
        name="broadcast_to",
        kind="move",
        type=_broadcast_type,
        numpy=lambda x, shape: np.broadcast_to(x, shape).copy(),
        read=_broadcast_read,
        vjp=lambda g, y, x, shape: (g,),  # autodiff sums to the operand's shape
    )
)


# slice -----------------------------------------------------------------------------------------------------------


def _slice_type(x: TensorType, starts: Shape, sizes: Shape, steps: tuple[int, ...]) -> TensorType:
    for axis, (dim, start, size, step) in enumerate(zip(x.shape, starts, sizes, steps, strict=True)):
        ends = (start, start + (size - 1) * step)
        first, last = ends if step > 0 else ends[::-1]
        try:
            assume_at_least_zero(size)
            if size != 0 and size != dim:
                assume_at_least_zero(first)
                assume_at_least_zero(dim - 1 - last)
        except ShapeError:
            asked = f"{size} from {start}" + f" in steps of {step}" * (step != 1)
            raise ShapeError(f"slice of {shown(x.shape)}: axis {axis} has {dim} elements; asked for {asked}") from None
    return TensorType(tuple(sizes), x.dtype)


def _slice_numpy(x: np.ndarray, starts: Shape, sizes: Shape, steps: tuple[int, ...]) -> np.ndarray:
    key = []
    for start, size, step in zip(starts, sizes, steps, strict=True):
        stop = start + size * step
        key.append(slice(start, stop if stop >= 0 else None, step) if size else slice(0, 0))
    return x[tuple(key)]


def _slice_vjp(g: Symbol, y: Symbol, x: Symbol, starts: Shape, sizes: Shape, steps: tuple[int, ...]) -> Grad:
    backwards = tuple(axis for axis, step in enumerate(steps) if step < 0)
    if backwards:
        g = flip(g, axes=backwards)
        ends = (start + (size - 1) * step for start, size, step in zip(starts, sizes, steps, strict=True))
        starts = tuple(end if step < 0 else start for start, end, step in zip(starts, ends, steps, strict=True))
        steps = tuple(map(abs, steps))
    taken = zip(x.type.shape, starts, sizes, steps, strict=True)
    high = tuple(dim - start - (size - 1) * step - 1 for dim, start, size, step in taken)
    return (pad(g, 0, low=starts, high=high, interior=tuple(step - 1 for step in steps)),)


slice_ = primitive(
    Op(
        name="slice",
        kind="move",
        type=_slice_type,
        numpy=_slice_numpy,
        read=lambda at, x, starts, sizes, steps: x[
            [one * step + start for one, start, step in zip(at, starts, steps, strict=True)]
        ],
        vjp=_slice_vjp,
    )
)


# pad -------------------------------------------------------------------------------------------------------------


def _pad_type(x: TensorType, value: TensorType, low: Shape, high: Shape, interior: tuple[int, ...]) -> TensorType:
    if value.shape:
        raise ShapeError(f"pad with a value of shape {shown(value.shape)}; it must be one number")
    for axis, ends in enumerate(zip(low, high, interior, strict=True)):
        for end in ends:
            if isinstance(end, int) and end < 0:
                raise ShapeError(f"pad of {shown(x.shape)}: axis {axis} by {end}, which is negative")
    return TensorType(_padded(x.shape, low, high, interior), x.dtype)


def _padded(shape: Shape, low: Shape, high: Shape, interior: tuple[int, ...]) -> Shape:
    """An axis without elements loses `interior`, so that sizes known only at the call follow the same formula."""
    each = zip(shape, low, high, interior, strict=True)
    return tuple(before + dim + (dim - 1) * between + after for dim, before, after, between in each)


def _pad_numpy(x: np.ndarray, value: np.ndarray, low: Shape, high: Shape, interior: tuple[int, ...]) -> np.ndarray:
    out = np.full(_padded(x.shape, low, high, interior), value, x.dtype)
    if x.size:
        each = zip(x.shape, low, interior, strict=True)
        out[tuple(slice(start, start + (n - 1) * (gap + 1) + 1, gap + 1) for n, start, gap in each)] = x
    return out


def _pad_read(at: list[Index], x: Operand, value: Operand, low: Shape, high: Shape, interior: tuple[int, ...]) -> Any:
    conditions: list[Condition] = []
    places = []
    for one, dim, before, after, between in zip(at, x.shape, low, high, interior, strict=True):
        place = one - before
        if before != 0:
            conditions.append(place >= 0)
        if after != 0:
            conditions.append(place < dim + (dim - 1) * between)
        if between:
            conditions.append((place % (between + 1)).equals(0))
        places.append(place // (between + 1))
    inside = x[places]
    return choose(fold(Condition.__and__, conditions), inside, value[()]) if conditions else inside


def _pad_vjp(
    g: Symbol, y: Symbol, x: Symbol, value: Symbol, low: Shape, high: Shape, interior: tuple[int, ...]
) -> Grad:
    back = slice_(g, starts=low, sizes=x.type.shape, steps=tuple(between + 1 for between in interior))
    if value.op == "const":
        return back, None
    inside = broadcast_to(as_symbol(0, g.type.dtype), shape=x.type.shape)
    return back, FUNCTIONS["multiply"](
        g, pad(inside, as_symbol(1, g.type.dtype), low=low, high=high, interior=interior)
    )


pad = primitive(
    Op(
        name="pad",
        kind="move",
        type=_pad_type,
        numpy=_pad_numpy,
        read=_pad_read,
        casts=lambda x, value: (promote(x),) * 2,
        vjp=_pad_vjp,
    )
)


# concatenate -----------------------------------------------------------------------------------------------------


def _concatenate_type(*xs: TensorType, axis: int) -> TensorType:
    shape = list(xs[0].shape)
    for number, x in enumerate(xs[1:], 1):
        if x.rank != len(shape):
            raise ShapeError(
                f"concatenate: operand {number} has shape {shown(x.shape)}, the first {shown(xs[0].shape)}"
            )
        for place, size in enumerate(x.shape):
            try:
                shape[place] = shape[place] + size if place == axis else unify(shape[place], size)
            except ShapeError:
                raise ShapeError(
                    f"concatenate along axis {axis}: axis {place} is {shape[place]} in operand 0 and {size} in operand "
                    f"{number}, shapes {shown(xs[0].shape)} and {shown(x.shape)}"
                ) from None
    return TensorType(tuple(shape), xs[0].dtype)


def _concatenate_read(at: list[Index], *xs: Operand, axis: int) -> Any:
    starts = offsets(xs, axis)
    read: Any = xs[-1][_moved(at, axis, at[axis] - starts[-1])]
    for x, start, end in zip(xs[-2::-1], starts[-2::-1], starts[:0:-1], strict=True):
        read = choose(at[axis] < end, x[_moved(at, axis, at[axis] - start)], read)
    return read


def offsets(xs: Sequence[Any], axis: int) -> list[Dim]:
    """Where along the axis each operand's elements begin."""
    return list(accumulate((x.shape[axis] for x in xs[:-1]), initial=0))


def _moved(at: Sequence[Index], axis: int, to: Index) -> list[Index]:
    return [*at[:axis], to, *at[axis + 1 :]]


def _concatenate_vjp(g: Symbol, y: Symbol, *xs: Symbol, axis: int) -> Grad:
    kinds = [x.type for x in xs]
    parts = zip(kinds, offsets(kinds, axis), strict=True)
    return tuple(part(g, axis, start, kind.shape[axis]) for kind, start in parts)


def part(x: Any, axis: int, start: Dim, size: Dim, step: int = 1) -> Any:
    """`size` elements from `start` on along one axis, and everything along the others."""
    shape = shape_of(x)
    starts, steps = [0] * len(shape), [1] * len(shape)
    return slice_(
        x,
        starts=(*starts[:axis], start, *starts[axis + 1 :]),
        sizes=(*shape[:axis], size, *shape[axis + 1 :]),
        steps=(*steps[:axis], step, *steps[axis + 1 :]),
    )


concatenate = primitive(
    Op(
        name="concatenate",
        kind="move",
        type=_concatenate_type,
        numpy=lambda *xs, axis: np.concatenate(xs, axis),
        read=_concatenate_read,
        casts=common,
        vjp=_concatenate_vjp,
    )
)


# iota, diagonal --------------------------------------------------------------------------------------------------


def _iota_numpy(shape: tuple[int, ...], axis: int, dtype: str) -> np.ndarray:
    line = np.arange(shape[axis]).reshape([-1 if place == axis else 1 for place in range(len(shape))])
    return np.broadcast_to(line, shape).astype(numpy_dtype(dtype))


iota = primitive(  # the index along one axis: what arange, eye, one_hot and masks by position are made of
    Op(
        name="iota",
        kind="move",
        type=lambda shape, axis, dtype: TensorType(tuple(shape), dtype),
        numpy=_iota_numpy,
        read=lambda at, shape, axis, dtype: at[axis],
        vjp=lambda g, y, shape, axis, dtype: (),
    )
)


def _diagonal_type(x: TensorType, axis1: int, axis2: int) -> TensorType:
    rest = tuple(size for axis, size in enumerate(x.shape) if axis not in (axis1, axis2))
    return TensorType((*rest, minimum(x.shape[axis1], x.shape[axis2])), x.dtype)


def _diagonal_read(at: list[Index], x: Operand, axis1: int, axis2: int) -> Read:
    rest = iter(at[:-1])
    return x[[at[-1] if axis in (axis1, axis2) else next(rest) for axis in range(len(x.shape))]]


def _diagonal_vjp(g: Symbol, y: Symbol, x: Symbol, axis1: int, axis2: int) -> Grad:
    return (on_diagonal(g, x.type.shape, axis1, axis2),)


def on_diagonal(g: Any, shape: Shape, axis1: int, axis2: int) -> Any:
    """Zeros of this shape with g on the diagonal of two axes; g has the other axes, and the diagonal last."""
    rank = len(shape)
    first, second = sorted((axis1, axis2))
    rest = [axis for axis in range(rank) if axis not in (first, second)]
    length = shape_of(g)[-1]
    stood = transpose(
        g, axes=tuple(rank - 2 if axis == first else rest.index(axis) for axis in range(rank) if axis != second)
    )
    missing = shape[first] - length
    if missing != 0:
        ends = tuple(missing if axis == first else 0 for axis in range(rank - 1))
        stood = pad(stood, 0, low=(0,) * (rank - 1), high=ends, interior=(0,) * (rank - 1))
    column = reshape(stood, shape=tuple(1 if axis == second else shape[axis] for axis in range(rank)))
    line = tuple(size if axis in (first, second) else 1 for axis, size in enumerate(shape))
    same = FUNCTIONS["equal"](iota(shape=line, axis=first, dtype="int32"), iota(shape=line, axis=second, dtype="int32"))
    return FUNCTIONS["where"](same, column, 0)


diagonal = primitive(
    Op(
        name="diagonal",
        kind="move",
        type=_diagonal_type,
        numpy=lambda x, axis1, axis2: np.diagonal(x, 0, axis1, axis2),
        read=_diagonal_read,
        vjp=_diagonal_vjp,
    )
)
