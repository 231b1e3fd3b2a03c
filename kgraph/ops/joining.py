"""Public functions that put tensors together and take them apart: concatenate, stack, split, pad, tile, roll."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import numpy as np

from kgraph.errors import ArgumentError, ShapeError
from kgraph.graph.sizes import Dim, Size, divide, maximum, minimum, shown
from kgraph.ops import move
from kgraph.ops.arithmetic import mod, subtract
from kgraph.ops.gather import take
from kgraph.ops.move import part, shape_of
from kgraph.ops.shapes import broadcast_to, counts, expand_dims, flip, many_axes, one_axis, ravel, reshape
from kgraph.tracing.trace import function


@function
def concatenate(xs: Sequence[Any], axis: int | None = 0) -> Any:
    """The tensors one after the other along an axis; they meet in one dtype, and agree on the other axes."""
    parts = list(xs)
    if not parts:
        raise ArgumentError("concatenate of no tensors")
    if axis is None:
        parts, axis = [ravel(x) for x in parts], 0
    return move.concatenate(*parts, axis=one_axis(axis, len(shape_of(parts[0]))))


@function
def append(x1: Any, x2: Any, axis: int | None = None) -> Any:
    """x2 after x1; without an axis, all elements of both in a row."""
    return concatenate((x1, x2), axis)


@function
def stack(x: Sequence[Any], axis: int = 0) -> Any:
    """Tensors of one shape along a new axis."""
    parts = list(x)
    if not parts:
        raise ArgumentError("stack of no tensors")
    for number, other in enumerate(parts):
        if len(shape_of(other)) != len(shape_of(parts[0])):
            shapes = f"{shown(shape_of(parts[0]))} and, at {number}, {shown(shape_of(other))}"
            raise ShapeError(f"stack of tensors of different shapes: {shapes}")
    place = one_axis(axis, len(shape_of(parts[0])) + 1)
    return concatenate([expand_dims(one, place) for one in parts], place)


@function
def hstack(xs: Sequence[Any]) -> Any:
    """The tensors along axis 1, or along axis 0 where they have only one."""
    parts = [_at_least(x, 1) for x in xs]
    return concatenate(parts, 0 if len(shape_of(parts[0])) == 1 else 1)


@function
def vstack(xs: Sequence[Any]) -> Any:
    """The tensors along axis 0; a vector counts as one row."""
    return concatenate([_at_least(x, 2) for x in xs], 0)


@function
def dstack(xs: Sequence[Any]) -> Any:
    """The tensors along axis 2; a vector counts as (1, n, 1)."""
    parts = [_at_least(x, 2) for x in xs]
    return concatenate([expand_dims(x, 2) if len(shape_of(x)) == 2 else x for x in parts], 2)


def _at_least(x: Any, rank: int) -> Any:
    have = shape_of(x)
    return x if len(have) >= rank else reshape(x, (1,) * (rank - len(have)) + tuple(have))


# apart -----------------------------------------------------------------------------------------------------------


@function
def split(x: Any, indices_or_sections: Any, axis: int = 0) -> list[Any]:
    """A list of parts along an axis: that many equal ones, or cut before each of these indices."""
    place = one_axis(axis, len(shape_of(x)))
    length = shape_of(x)[place]
    if isinstance(indices_or_sections, (int, np.integer)):
        each = divide(length, int(indices_or_sections))
        if each is None:
            raise ShapeError(f"split of {shown(shape_of(x))}: axis {place} is not {indices_or_sections} equal parts")
        return [part(x, place, each * number, each) for number in range(indices_or_sections)]
    ends: list[Dim] = []
    for cut in np.asarray(indices_or_sections).tolist():
        ends.append(minimum(maximum(cut + length if cut < 0 else cut, 0), length))
    return _cut(x, place, [0, *ends, length])


@function
def array_split(x: Any, indices_or_sections: Any, axis: int = 0) -> list[Any]:
    """Like `split`, but the parts may differ by one element: the longer ones come first."""
    place = one_axis(axis, len(shape_of(x)))
    length = shape_of(x)[place]
    if not isinstance(indices_or_sections, (int, np.integer)) or isinstance(length, Size):
        return split(x, indices_or_sections, place)
    short, longer = divmod(length, indices_or_sections)
    return _cut(x, place, [short * number + min(number, longer) for number in range(indices_or_sections + 1)])


def _cut(x: Any, axis: int, ends: list[Dim]) -> list[Any]:
    return [part(x, axis, start, maximum(end - start, 0)) for start, end in pairwise(ends)]


@function
def hsplit(x: Any, indices_or_sections: Any) -> list[Any]:
    """`split` along axis 1, or axis 0 of a vector."""
    return split(x, indices_or_sections, 0 if len(shape_of(x)) == 1 else 1)


@function
def vsplit(x: Any, indices_or_sections: Any) -> list[Any]:
    """`split` along axis 0."""
    return split(x, indices_or_sections, 0)


@function
def dsplit(x: Any, indices_or_sections: Any) -> list[Any]:
    """`split` along axis 2."""
    return split(x, indices_or_sections, 2)


@function
def unstack(x: Any, num: int | None = None, axis: int = 0) -> list[Any]:
    """The slices along an axis, without it; num says how many where the size is known only at the call."""
    have = shape_of(x)
    place = one_axis(axis, len(have))
    count = num if num is not None else have[place]
    if isinstance(count, Size) or (isinstance(have[place], int) and have[place] != count):
        raise ShapeError(f"unstack of {shown(have)}: axis {place} has {have[place]} elements; num is {num}")
    rest = have[:place] + have[place + 1 :]
    return [reshape(part(x, place, number, 1), rest) for number in range(count)]


# padding ---------------------------------------------------------------------------------------------------------


@function
def pad(x: Any, pad_width: Any, mode: str = "constant", constant_values: Any = None) -> Any:
    """x with elements put before and after along each axis.

    pad_width: one number, one (before, after), or one pair per axis. mode: "constant" (constant_values, default 0),
    "edge", "reflect" or "symmetric". Raises ShapeError where there are too few elements to reflect.
    """
    have = shape_of(x)
    pairs = _pairs(pad_width, len(have))
    if mode == "constant":
        low, high = tuple(before for before, _ in pairs), tuple(after for _, after in pairs)
        value = 0 if constant_values is None else constant_values
        return move.pad(x, value, low=low, high=high, interior=(0,) * len(have))
    if constant_values is not None:
        raise ArgumentError(f"constant_values go with mode 'constant', not {mode!r}")
    if mode not in ("edge", "reflect", "symmetric"):
        raise ArgumentError(f"mode must be constant, edge, reflect or symmetric, not {mode!r}")
    for axis, (before, after) in enumerate(pairs):
        if before or after:
            x = _continued(x, axis, before, after, mode)
    return x


def _pairs(pad_width: Any, rank: int) -> list[tuple[int, int]]:
    if isinstance(pad_width, (list, tuple)) and len(pad_width) == rank and isinstance(pad_width[0], (list, tuple)):
        return [(int(width[0]), int(width[-1])) for width in pad_width]
    return [tuple(pair) for pair in np.broadcast_to(np.asarray(pad_width, np.int64), (rank, 2)).tolist()]


def _continued(x: Any, axis: int, before: int, after: int, mode: str) -> Any:
    """x continued at both ends of one axis by its own elements."""
    length = shape_of(x)[axis]
    skipped = 1 if mode == "reflect" else 0
    if isinstance(length, int) and mode != "edge" and max(before, after) > length - skipped:
        if length <= skipped:
            raise ShapeError(f"pad of {shown(shape_of(x))} by {mode}: axis {axis} has too few elements")
        order: Any = np.pad(np.arange(length, dtype=np.int32), (before, after), mode=mode)  # type: ignore[call-overload]
        return take(x, order, axis=axis)
    if mode == "edge":
        first, last = part(x, axis, 0, 1), part(x, axis, length - 1, 1)
        ends = [_stretched(first, axis, before), _stretched(last, axis, after)]
    else:
        ends = [
            flip(part(x, axis, skipped, before), axis),
            flip(part(x, axis, length - skipped - after, after), axis),
        ]
    return concatenate([ends[0]] * (before > 0) + [x] + [ends[1]] * (after > 0), axis)


def _stretched(x: Any, axis: int, size: int) -> Any:
    have = shape_of(x)
    return broadcast_to(x, (*have[:axis], size, *have[axis + 1 :]))


# repetition ------------------------------------------------------------------------------------------------------


@function
def tile(x: Any, repeats: Any) -> Any:
    """x repeated as a whole, repeats[i] times along axis i; missing leading axes or counts are 1."""
    times, have = counts(repeats), shape_of(x)
    rank = max(len(times), len(have))
    times, have = [1] * (rank - len(times)) + times, (1,) * (rank - len(have)) + tuple(have)
    apart = [size for pair in zip((1,) * rank, have, strict=True) for size in pair]
    many = [size for pair in zip(times, have, strict=True) for size in pair]
    whole = tuple(count * size for count, size in zip(times, have, strict=True))
    return reshape(broadcast_to(reshape(x, apart), many), whole)


@function
def repeat(x: Any, repeats: Any, axis: int | None = None) -> Any:
    """x with each element along the axis repeated; repeats is one count, or one per element."""
    if axis is None:
        x, axis = ravel(x), 0
    have = shape_of(x)
    place = one_axis(axis, len(have))
    counts = repeats if isinstance(repeats, Size) else np.asarray(repeats)
    if not isinstance(counts, Size) and counts.size != 1:
        if counts.shape != (have[place],):
            raise ShapeError(f"repeat of {shown(have)}: axis {place} has {have[place]} elements, repeats {counts.size}")
        return take(x, np.repeat(np.arange(counts.size, dtype=np.int32), counts), axis=place)
    times = counts if isinstance(counts, Size) else int(counts.reshape(()))
    many = (*have[: place + 1], times, *have[place + 1 :])
    whole = (*have[:place], have[place] * times, *have[place + 1 :])
    return reshape(broadcast_to(expand_dims(x, place + 1), many), whole)


@function
def roll(x: Any, shift: int | Sequence[int], axis: int | Sequence[int] | None = None) -> Any:
    """x with its elements moved on along the axes; those that leave at the end come back at the beginning."""
    if axis is None:
        return reshape(roll(ravel(x), shift, 0), shape_of(x))
    axes = many_axes(axis, len(shape_of(x)))
    shifts = np.broadcast_to(np.asarray(shift), (len(axes),)).tolist()
    for place, by in zip(axes, shifts, strict=True):
        x = _rolled(x, by, place)
    return x


def _rolled(x: Any, by: int, axis: int) -> Any:
    length = shape_of(x)[axis]
    if isinstance(length, Size):
        places = move.iota(shape=(length,), axis=0, dtype="int32")
        return take(x, mod(subtract(places, by), length), axis=axis)
    by = by % length if length else 0
    if by == 0:
        return x
    return concatenate([part(x, axis, length - by, by), part(x, axis, 0, length - by)], axis)
