"""Rows that write at places given by data, and the public functions on them: scatter, scatter_update, segment_sum."""

from __future__ import annotations

from typing import Any

import numpy as np

from kgraph.errors import ArgumentError, ShapeError
from kgraph.graph.op import Op
from kgraph.graph.sizes import Shape, Size, product, shown, unify
from kgraph.graph.types import TensorType, promote, standard_dtype
from kgraph.ops.arithmetic import add, cast, multiply, where
from kgraph.ops.compare import equal
from kgraph.ops.creating import zeros
from kgraph.ops.gather import check_indices, check_integers, index_dtype, take, wrap, zeros_of
from kgraph.ops.joining import split
from kgraph.ops.move import iota, shape_of
from kgraph.ops.shapes import broadcast_to, dims, reshape, squeeze
from kgraph.tracing.trace import Symbol, as_symbol, function, primitive


def _scatter_type(base: TensorType, indices: TensorType, updates: TensorType, axis: int) -> TensorType:
    check_integers(indices, "scatter")
    wanted = (*base.shape[:axis], *indices.shape, *base.shape[axis + 1 :])
    try:
        if len(wanted) != updates.rank:
            raise ShapeError("another number of axes")
        for size, given in zip(wanted, updates.shape, strict=True):
            unify(size, given)
    except ShapeError:
        places = f"indices {shown(indices.shape)} into axis {axis} of {shown(base.shape)}"
        raise ShapeError(f"scatter: {places} want updates {shown(wanted)}, not {shown(updates.shape)}") from None
    return base


def _scatter_casts(base: str, indices: str, updates: str) -> tuple[str, str, str]:
    return promote(base), promote(indices), promote(base)


def _scattered(write: Any) -> Any:
    """The numpy row of a way to write `updates` at `indices` of a view with the axis in front."""

    def run(base: np.ndarray, indices: np.ndarray, updates: np.ndarray, axis: int) -> np.ndarray:
        check_indices(indices, base.shape[axis], axis)
        result = base.copy()
        front = range(indices.ndim)
        write(np.moveaxis(result, axis, 0), indices, np.moveaxis(updates, [axis + place for place in front], front))
        return result

    return run


def _set(view: np.ndarray, indices: np.ndarray, updates: np.ndarray) -> None:
    view[indices] = updates  # numpy goes through the indices in order: the last of equal ones wins


scatter_add = primitive(
    Op(
        name="scatter_add",
        kind="scatter",
        type=_scatter_type,
        numpy=_scattered(np.add.at),
        combine="{0} + {1}",
        casts=_scatter_casts,
        vjp=lambda g, y, base, indices, updates, axis: (g, None, take(g, indices, axis=axis)),
    )
)


def _set_vjp(g: Symbol, y: Symbol, base: Symbol, indices: Symbol, updates: Symbol, axis: int) -> tuple[Any, ...]:
    kept = scatter_set(g, indices, zeros_of(updates.type), axis=axis)
    back = take(g, indices, axis=axis)
    if not _distinct(indices):
        winner = reshape(_winners(indices, base.type.shape[axis]), _placed(indices.type.shape, updates.type.rank, axis))
        back = where(winner, back, 0)
    return kept, None, back


def _distinct(indices: Symbol) -> bool:
    """Whether no place can be written twice."""
    if indices.op == "const":
        return len(np.unique(indices.attrs["value"])) == indices.attrs["value"].size
    return indices.op == "iota" or indices.type.size == 1


def _winners(indices: Symbol, size: Any) -> Symbol:
    """Which of the indices are the last to write to their place."""
    count = product(indices.type.shape)
    flat = reshape(indices, (count,))
    order = iota(shape=(count,), axis=0, dtype="int32")
    last = scatter_set(broadcast_to(as_symbol(-1, "int32"), shape=(size,)), flat, order, axis=0)
    return reshape(equal(take(last, flat, axis=0), order), indices.type.shape)


def _placed(shape: Shape, rank: int, axis: int) -> Shape:
    return (1,) * axis + tuple(shape) + (1,) * (rank - axis - len(shape))


scatter_set = primitive(
    Op(
        name="scatter_set",
        kind="scatter",
        type=_scatter_type,
        numpy=_scattered(_set),
        combine="{1}",
        casts=_scatter_casts,
        vjp=_set_vjp,
    )
)


# public functions ------------------------------------------------------------------------------------------------


def flat_indices(indices: Any, shape: Shape) -> tuple[Any, Shape]:
    """Indices whose last axis names places in `shape`, as positions on the flattened axes they name.

    Returns them, and the shape with these axes made one.
    """
    depth = shape_of(indices)[-1]
    if isinstance(depth, Size) or depth > len(shape):
        raise ShapeError(f"indices {shown(shape_of(indices))} name {depth} axes of a tensor of shape {shown(shape)}")
    named, rest = shape[:depth], shape[depth:]
    axis = len(shape_of(indices)) - 1
    flat = None
    for place, size in enumerate(named):
        column = squeeze(split(indices, depth, axis)[place], axis)
        column = cast(wrap(column, size), index_dtype(product(named))) if depth > 1 else column
        flat = column if flat is None else add(multiply(flat, size), column)
    return flat, (product(named), *rest)


@function
def scatter(indices: Any, values: Any, shape: Any) -> Any:
    """Zeros of this shape with the values added at indices: (..., k), each row naming k leading axes."""
    wanted = dims(shape)
    kind = values.dtype if hasattr(values, "dtype") else np.asarray(values).dtype
    return _written(scatter_add, zeros(wanted, standard_dtype(kind)), indices, values)


@function
def scatter_update(inputs: Any, indices: Any, updates: Any, reduction: str | None = None) -> Any:
    """inputs with the elements (or slices) at indices replaced by updates, or, with reduction="add", increased.

    indices: (..., k), each row naming k leading axes. Where two rows are equal, the last one's update stays.
    """
    if reduction not in (None, "add"):
        raise ArgumentError(f"scatter_update knows the reductions None and 'add', not {reduction!r}")
    return _written(scatter_add if reduction else scatter_set, inputs, indices, updates)


def _written(write: Any, base: Any, indices: Any, updates: Any) -> Any:
    indices = indices if hasattr(indices, "dtype") else np.asarray(indices, np.int32)
    shape = shape_of(base)
    flat, merged = flat_indices(indices, shape)
    wanted = (*shape_of(flat), *merged[1:])
    updates = broadcast_to(updates, wanted) if shape_of(updates) != wanted else updates
    return reshape(write(reshape(base, merged), flat, updates, axis=0), shape)
