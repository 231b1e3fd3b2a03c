"""Public functions that read parts of tensors: x[...], take, take_along_axis, slice and slice_update."""

from __future__ import annotations

import builtins
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from kgraph.errors import ArgumentError, DTypeError, RangeError, ShapeError
from kgraph.graph.op import FUNCTIONS
from kgraph.graph.sizes import Dim, Shape, Size, at_least_zero, maximum, minimum, product, shown
from kgraph.ops import gather, move
from kgraph.ops.arithmetic import add, cast, multiply, where
from kgraph.ops.creating import ones
from kgraph.ops.gather import wrap
from kgraph.ops.move import shape_of
from kgraph.ops.scattering import scatter_set
from kgraph.ops.shapes import dims, moveaxis, one_axis, ravel, reshape
from kgraph.tracing.recording import recorded, recorder
from kgraph.tracing.trace import Symbol, as_symbol, function, is_symbolic


@function
def take(x: Any, indices: Any, axis: int | None = None) -> Any:
    """The slices of x at these indices of an axis; without an axis, elements of the flattened x.

    Result: x.shape with the axis replaced by indices.shape. Negative indices count from the end; RangeError outside.
    """
    if axis is None:
        x, axis = ravel(x), 0
    return gather.take(x, _integers(indices), axis=one_axis(axis, len(shape_of(x))))


@function
def take_along_axis(x: Any, indices: Any, axis: int | None = None) -> Any:
    """One element of x for each index, taken along the axis at the index's own place on the other axes."""
    if axis is None:
        x, indices, axis = ravel(x), ravel(indices), 0
    return gather.take_along_axis(x, _integers(indices), axis=one_axis(axis, len(shape_of(x))))


def _integers(indices: Any) -> Any:
    """Indices; an empty list counts as integers."""
    if isinstance(indices, (list, tuple)) and not np.size(indices):
        return np.asarray(indices, np.int32)
    return indices


# slice -----------------------------------------------------------------------------------------------------------


@function
def slice(inputs: Any, start_indices: Any, shape: Any) -> Any:
    """A block of this shape that begins at start_indices, which may be symbols; -1 in shape means up to the end."""
    have = shape_of(inputs)
    starts = _starts(start_indices, len(have))
    asked = zip(dims(shape), have, starts, strict=True)
    wanted = tuple(dim - start if isinstance(size, int) and size == -1 else size for size, dim, start in asked)
    fixed = tuple(0 if isinstance(start, Symbol) else start for start in starts)
    for axis, start in enumerate(starts):
        if isinstance(start, Symbol):
            inputs = take(inputs, add(_line(wanted[axis]), start), axis)
    return move.slice_(inputs, starts=fixed, sizes=wanted, steps=(1,) * len(have))


@function
def slice_update(inputs: Any, start_indices: Any, updates: Any) -> Any:
    """inputs with the block that begins at start_indices replaced by updates."""
    have, block = shape_of(inputs), shape_of(updates)
    starts = _starts(start_indices, len(have))
    if len(block) != len(have):
        raise ShapeError(f"slice_update of {shown(have)} by {shown(block)}: different numbers of axes")
    if builtins.any(isinstance(start, Symbol) for start in starts):
        return _update_at(inputs, starts, updates)
    high = tuple(dim - start - size for dim, start, size in zip(have, starts, block, strict=True))
    ends = {"low": tuple(starts), "high": high, "interior": (0,) * len(have)}
    inside = move.pad(ones(block, "bool"), False, **ends)
    return where(inside, move.pad(cast(updates, _dtype(inputs)), 0, **ends), inputs)


def _dtype(x: Any) -> str:
    return x.dtype if isinstance(x, Symbol) else np.asarray(x).dtype.name


def _update_at(inputs: Any, starts: Sequence[Any], updates: Any) -> Any:
    """slice_update at a place known only at the call: a scatter of single elements."""
    have, block = shape_of(inputs), shape_of(updates)
    place: Any = 0
    for axis, (dim, start, size) in enumerate(zip(have, starts, block, strict=True)):
        along = move.iota(shape=(1,) * axis + (size,) + (1,) * (len(have) - axis - 1), axis=axis, dtype="int32")
        place = add(multiply(place, dim), add(along, start))
    return reshape(scatter_set(ravel(inputs), ravel(place), ravel(updates), axis=0), have)


def _starts(start_indices: Any, rank: int) -> list[Any]:
    """The beginning along each axis: ints where they are known."""
    if isinstance(start_indices, Symbol):
        listed = [start_indices[number] for number in range(rank)]
    else:
        listed = [start if isinstance(start, (Symbol, Size)) else int(start) for start in start_indices]
    if len(listed) != rank:
        raise ArgumentError(f"{len(listed)} start indices for a tensor of {rank} axes")
    return listed


def _line(size: Dim) -> Any:
    return move.iota(shape=(size,), axis=0, dtype="int32")


# x[...] ----------------------------------------------------------------------------------------------------------


@function
def getitem(x: Any, key: Any) -> Any:
    """x[key]: ints, slices, None, Ellipsis, and integer tensors, as in numpy.

    On an array it is numpy's, masks included. Of symbols, raises RangeError for an index outside its axis, DTypeError
    for a boolean mask (its result has no known shape).
    """
    keys = list(key) if isinstance(key, tuple) else [key]
    if not is_symbolic([x, *keys]):
        keep, made = recorder(), np.asarray(x)[key]
        return made if keep is None else recorded(np.asarray(made), getitem(keep.symbol(x), key))
    x = as_symbol(x)
    keys = _spelled(keys, x.type.rank)
    roles = [_role(key) for key in keys]
    axes = [key for key in keys if key is not None]
    x = _cut(x, axes)
    indices = {axis: key for axis, key in enumerate(axes) if _role(key) == "index"}
    if not indices:
        sizes = iter(shape_of(x))
        return reshape(x, _shape(roles, sizes, ()))
    x, begin, rank = _gathered(x, indices)
    block = shape_of(x)[begin : begin + rank]
    rest = iter((*shape_of(x)[:begin], *shape_of(x)[begin + rank :]))
    if _apart(roles):  # numpy puts the axes of index tensors in front when they do not stand together
        x = moveaxis(x, range(begin, begin + rank), range(rank))
        return reshape(x, (*block, *_shape(roles, rest, ())))
    return reshape(x, _shape(roles, rest, block))


get_item = FUNCTIONS["get_item"] = getitem


def _spelled(keys: list[Any], rank: int) -> list[Any]:
    """One entry per axis, and the Nones: the Ellipsis is written out, and indices are arrays or symbols."""
    keys = [_key(key) for key in keys]
    used = builtins.sum(key is not None and key is not Ellipsis for key in keys)
    if used > rank:
        raise RangeError(f"{used} indices for a tensor of {rank} axes")
    places = [place for place, key in enumerate(keys) if key is Ellipsis]
    if len(places) > 1:
        raise ArgumentError("an index can hold only one '...'")
    place = places[0] if places else len(keys)
    return [*keys[:place], *[builtins.slice(None)] * (rank - used), *keys[place + 1 :]]


def _key(key: Any) -> Any:
    if key is None or key is Ellipsis or isinstance(key, (builtins.slice, Size)):
        return key
    if isinstance(key, (int, np.integer)) and not isinstance(key, (bool, np.bool_)):
        return int(key)
    key = key if isinstance(key, Symbol) else key.as_symbol() if hasattr(key, "as_symbol") else np.asarray(key)
    if str(key.dtype) == "bool":
        raise DTypeError("x[mask] has a size that depends on the data; use ops.where(mask, x, other)")
    if not str(key.dtype).startswith(("int", "uint")) and key.shape != (0,):
        raise DTypeError(f"a tensor is indexed by integers, not {key.dtype}")
    return key if isinstance(key, Symbol) else key.astype(np.int32)


def _role(key: Any) -> str:
    """What becomes of an axis: it stays or goes, is new, or is indexed by a tensor."""
    if key is None:
        return "new"
    if isinstance(key, builtins.slice):
        return "stays"
    return "goes" if isinstance(key, (int, Size)) else "index"


def _apart(roles: list[str]) -> bool:
    """Whether a slice or a new axis stands between indices."""
    advanced = [place for place, role in enumerate(roles) if role in ("index", "goes")]
    return advanced != list(range(advanced[0], advanced[-1] + 1))


def _shape(roles: list[str], sizes: Iterator[Dim], block: Shape) -> Shape:
    """The result's shape; `block`, the axes of the index tensors, stands where the first of these stood."""
    shape: list[Dim] = []
    for place, role in enumerate(roles):
        if role == "new":
            shape.append(1)
        elif role == "index":
            shape += block if "index" not in roles[:place] else ()
        else:
            size = next(sizes)
            shape += [size] * (role == "stays")
    return tuple(shape)


def _cut(x: Symbol, keys: list[Any]) -> Any:
    """x with ints and slices applied; the axes of ints stay, with size 1."""
    extents = [_extent(key, dim, axis) for axis, (key, dim) in enumerate(zip(keys, x.type.shape, strict=True))]
    starts, sizes, steps = zip(*extents, strict=True) if extents else ((), (), ())
    whole = sizes == x.type.shape and set(steps) <= {1}
    return x if whole else move.slice_(x, starts=starts, sizes=sizes, steps=steps)


def _extent(key: Any, dim: Dim, axis: int) -> tuple[Dim, Dim, int]:
    """Start, number of elements and step of an int or a slice on an axis of this size."""
    if isinstance(key, (int, Size)):
        if isinstance(key, int) and isinstance(dim, int) and not -dim <= key < dim:
            raise RangeError(f"index {key} is outside axis {axis}, which has {dim} elements")
        return _place(key, dim), 1, 1
    if not isinstance(key, builtins.slice):
        return 0, dim, 1
    if builtins.any(isinstance(end, Symbol) for end in (key.start, key.stop, key.step)):
        raise ArgumentError("a slice with ends known only at the call has no known size; use ops.slice")
    step = 1 if key.step is None else int(key.step)
    if step == 0:
        raise ArgumentError("a slice with step 0")
    if isinstance(dim, int) and not isinstance(key.start, Size) and not isinstance(key.stop, Size):
        there = range(*key.indices(dim))
        return (there.start, len(there), step) if len(there) else (0, 0, 1)
    low, high = (0, dim) if step > 0 else (-1, dim - 1)
    start = (low if step > 0 else high) if key.start is None else _end(key.start, dim, low, high)
    stop = (high if step > 0 else low) if key.stop is None else _end(key.stop, dim, low, high)
    length = maximum(stop - start, 0) if step > 0 else maximum(start - stop, 0)
    return start, (length + abs(step) - 1) // abs(step), step


def _end(end: Any, dim: Dim, low: Dim, high: Dim) -> Dim:
    """An end of a slice counted from the front, moved into the axis."""
    return minimum(maximum(_place(end, dim), low), high)


def _place(index: Any, dim: Dim) -> Dim:
    """An index counted from the front. From the end count what is below zero, and what is minus a size: x[:-n]."""
    from_end = at_least_zero(-index) if isinstance(index, Size) else int(index) < 0
    return dim + (index if isinstance(index, Size) else int(index)) if from_end else index


def _gathered(x: Any, indices: dict[int, Any]) -> tuple[Any, int, int]:
    """x with the indexed axes gathered; where the index tensors' own axes begin in it, and how many there are."""
    axes, shape = list(indices), shape_of(x)
    if len(axes) == 1:
        return gather.take(x, indices[axes[0]], axis=axes[0]), axes[0], len(shape_of(indices[axes[0]]))
    place: Any = 0
    for axis in axes:
        one = wrap(as_symbol(indices[axis]), shape[axis])
        place = add(multiply(place, shape[axis]), one)
    begin, end = axes[0], axes[0] + len(axes)
    x = moveaxis(x, axes, range(begin, end))
    count = product(shape[axis] for axis in axes)
    merged: Shape = (*shape_of(x)[:begin], count, *shape_of(x)[end:])
    return gather.take(reshape(x, merged), place, axis=begin), begin, len(shape_of(place))
