"""Public functions that give the elements another shape: reshape, transpose, squeeze and their like."""

from __future__ import annotations

import builtins
from collections.abc import Sequence
from typing import Any

import numpy as np

from kgraph.errors import ArgumentError, ShapeError
from kgraph.graph.op import OPS
from kgraph.graph.sizes import Dim, Shape, Size, divide, minimum, product, shown
from kgraph.ops import move
from kgraph.ops.move import shape_of
from kgraph.tracing.trace import Symbol, function


def one_axis(axis: Any, rank: int, of: str = "axis") -> int:
    """The axis counted from the front; ArgumentError where there is none."""
    if not -rank <= int(axis) < rank:
        raise ArgumentError(f"{of} {axis} is outside a tensor of {rank} axes")
    return int(axis) % rank


def many_axes(axes: Any, rank: int) -> tuple[int, ...]:
    """One axis, several, or None for all, counted from the front and in the order given."""
    if axes is None:
        return tuple(range(rank))
    listed = [axes] if isinstance(axes, (int, np.integer)) else axes
    found = tuple(one_axis(axis, rank) for axis in listed)
    if len(set(found)) != len(found):
        raise ArgumentError(f"axes {tuple(listed)} name one axis twice")
    return found


COUNTED = (
    "reshape", "broadcast_to", "concatenate", "slice", "flip", "transpose", "add", "subtract", "multiply",
    "floor_divide", "sum", "prod",
)  # fmt: skip


def counts(given: Any) -> list[Any]:
    """What is given as a number, a size, a tensor computed from them, or a sequence of these, as a list."""
    given = counted(given)
    listed = [given] if isinstance(given, (int, np.integer, Size)) else list(given)
    return [counted(one) for one in listed]


def counted(given: Any) -> Any:
    """An integer symbol that is computed from sizes and numbers alone as what it holds; all else as it is.

    So `concatenate([expand_dims(shape(x)[0], 0), [1, 1]], 0)` is a list of sizes, though ops made it.
    """
    found = _counted(given) if isinstance(given, Symbol) and given.type is not None else None
    return given if found is None else found.tolist()


def _counted(symbol: Symbol) -> np.ndarray | None:
    is_integer = symbol.type.dtype.startswith(("int", "uint"))
    if not is_integer or builtins.any(isinstance(size, Size) for size in symbol.type.shape):
        return None
    if symbol.op in ("const", "size"):
        return np.array(symbol.attrs["value" if symbol.op == "const" else "dim"], object)
    values = [_counted(one) for one in symbol.inputs] if symbol.op in ("cast", *COUNTED) else [None]
    if builtins.any(value is None for value in values):
        return None
    return values[0] if symbol.op == "cast" else np.asarray(OPS[symbol.op].numpy(*values, **symbol.attrs), object)


def dims(shape: Any) -> Shape:
    """A shape given as a number, a size, a tensor computed from sizes, or a sequence of them."""
    listed = counts(shape)
    if any(dim is None for dim in listed):
        raise ShapeError(
            f"a size of {tuple(listed)} is None, which says that it is known only at the call: "
            "take shapes to compute with from ops.shape(x), not from x.shape"
        )
    return tuple(dim if isinstance(dim, Size) else int(dim) for dim in listed)


@function
def shape(x: Any) -> Shape:
    """The shape, to compute with: ints, and Sizes where the size is known only at the call."""
    return shape_of(x)


@function
def ndim(x: Any) -> int:
    """The number of axes."""
    return len(shape_of(x))


@function
def reshape(x: Any, newshape: Any) -> Any:
    """The same elements, in row-major order, under another shape; one size may be -1.

    newshape may hold sizes known only at the call (`ops.shape(x)[0]`). Raises ShapeError when the counts differ.
    """
    wanted = dims(newshape)
    if getattr(x, "type", ()) is None:  # a pattern of a rewrite rule
        return move.reshape(x, shape=wanted)
    have = shape_of(x)
    if builtins.any(isinstance(dim, int) and dim < 0 for dim in wanted):
        wanted = _inferred(have, wanted)
    return x if wanted == have and isinstance(x, Symbol) else move.reshape(x, shape=wanted)


def _inferred(have: Shape, wanted: Shape) -> Shape:
    """The shape with its -1 replaced by what is left for it."""
    known = [dim for dim in wanted if dim != -1]
    rest: Dim | None = None
    if len(known) == len(wanted) - 1:
        rest = divide(product(have), product(known))
    if rest is None:
        raise ShapeError(f"reshape of {shown(have)}, which has {product(have)} elements, to {shown(wanted)}")
    return tuple(rest if dim == -1 else dim for dim in wanted)


@function
def transpose(x: Any, axes: Sequence[int] | None = None) -> Any:
    """Axis i of the result is axis axes[i] of x; without axes, their order is reversed."""
    if getattr(x, "type", ()) is None:
        return move.transpose(x, axes=axes)
    rank = ndim(x)
    order = tuple(reversed(range(rank))) if axes is None else many_axes(axes, rank)
    return x if order == tuple(range(rank)) and isinstance(x, Symbol) else move.transpose(x, axes=order)


@function
def broadcast_to(x: Any, shape: Any) -> Any:
    """x repeated along the axes it lacks or has with size 1."""
    wanted = dims(shape)
    return x if isinstance(x, Symbol) and shape_of(x) == wanted else move.broadcast_to(x, shape=wanted)


@function
def expand_dims(x: Any, axis: int | Sequence[int]) -> Any:
    """x with axes of size 1 put in, at these places of the result."""
    have = shape_of(x)
    added = 1 if isinstance(axis, (int, np.integer)) else len(axis)
    new = many_axes(axis, len(have) + added)
    old = iter(have)
    return reshape(x, tuple(1 if place in new else next(old) for place in range(len(have) + added)))


@function
def squeeze(x: Any, axis: int | Sequence[int] | None = None) -> Any:
    """x without these axes of size 1, or without any; ShapeError where an axis has another size."""
    have = shape_of(x)
    if axis is None:
        gone = tuple(place for place, size in enumerate(have) if size == 1)
    else:
        gone = many_axes(axis, len(have))
        wrong = [place for place in gone if have[place] != 1]
        if wrong:
            raise ShapeError(f"squeeze of {shown(have)}: axis {wrong[0]} has {have[wrong[0]]} elements, not 1")
    return reshape(x, tuple(size for place, size in enumerate(have) if place not in gone))


@function
def ravel(x: Any) -> Any:
    """All elements along one axis, in row-major order."""
    return reshape(x, (product(shape_of(x)),))


@function
def swapaxes(x: Any, axis1: int, axis2: int) -> Any:
    """x with two axes exchanged."""
    order = list(range(ndim(x)))
    one, other = one_axis(axis1, len(order)), one_axis(axis2, len(order))
    order[one], order[other] = other, one
    return transpose(x, order)


@function
def moveaxis(x: Any, source: int | Sequence[int], destination: int | Sequence[int]) -> Any:
    """x with the axes `source` at the places `destination`; the others keep their order."""
    rank = ndim(x)
    origin, target = many_axes(source, rank), many_axes(destination, rank)
    if len(origin) != len(target):
        raise ArgumentError(f"moveaxis of {len(origin)} axes to {len(target)} places")
    placed = dict(zip(target, origin, strict=True))
    rest = iter(axis for axis in range(rank) if axis not in origin)
    return transpose(x, [placed[place] if place in placed else next(rest) for place in range(rank)])


@function
def flip(x: Any, axis: int | Sequence[int] | None = None) -> Any:
    """x with the elements along these axes, or along all, in reverse order."""
    return move.flip(x, axes=tuple(sorted(many_axes(axis, ndim(x)))))


@function
def fliplr(x: Any) -> Any:
    """x with its second axis reversed."""
    return flip(x, 1)


@function
def flipud(x: Any) -> Any:
    """x with its first axis reversed."""
    return flip(x, 0)


@function
def rot90(array: Any, k: int = 1, axes: tuple[int, int] = (0, 1)) -> Any:
    """A plane of the tensor turned by k quarters, from the first of the axes towards the second."""
    first, second = many_axes(axes, ndim(array))
    turns = k % 4
    if turns == 2:
        return flip(array, (first, second))
    if turns == 1:
        return swapaxes(flip(array, second), first, second)
    return flip(swapaxes(array, first, second), second) if turns else array


@function
def diagonal(x: Any, offset: int = 0, axis1: int = 0, axis2: int = 1) -> Any:
    """The elements (i, i + offset) of two axes, along a new last axis."""
    have = shape_of(x)
    first, second = one_axis(axis1, len(have)), one_axis(axis2, len(have))
    if first == second:
        raise ArgumentError(f"diagonal of one axis, {axis1}, with itself")
    skipped = first if offset < 0 else second
    if offset:
        gone: Dim = abs(offset)
        gone = minimum(gone, have[skipped])
        x = move.part(x, skipped, gone, have[skipped] - gone)
    return move.diagonal(x, axis1=first, axis2=second)


@function
def size(x: Any) -> Any:
    """The number of elements: an int, or a Size where it is known only at the call."""
    return product(shape_of(x))
