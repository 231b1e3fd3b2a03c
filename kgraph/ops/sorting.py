"""What follows from the order of elements: argsort, a row, and composed of it sort, top_k and their like."""

from __future__ import annotations

from typing import Any

import numpy as np

from kgraph.errors import ArgumentError, ShapeError
from kgraph.graph.op import FUNCTIONS, Op
from kgraph.graph.sizes import shown
from kgraph.graph.types import TensorType
from kgraph.ops import gather, statistics
from kgraph.ops.arithmetic import cast
from kgraph.ops.axes import axis_of
from kgraph.ops.compare import greater, isfinite, less, logical_and, logical_not
from kgraph.ops.elementwise import no_bools
from kgraph.ops.move import part, shape_of
from kgraph.ops.shapes import expand_dims, flip, moveaxis, ravel, squeeze
from kgraph.ops.tensors import composed, tensor
from kgraph.tracing.trace import primitive

# x has at least one axis, and the last is the one that is sorted along; NaN comes last, equal elements keep their order
argsort_row = primitive(
    Op(
        name="argsort",
        kind="sort",
        type=lambda x: TensorType(x.shape, "int32"),
        numpy=lambda x: np.argsort(x, axis=-1, kind="stable").astype(np.int32),
        casts=no_bools,
        vjp=lambda g, y, x: (None,),
    )
)


@composed
def argsort(x: Any, axis: int | None = -1) -> Any:
    """The positions along an axis of the elements in ascending order, as int32; axis None: of all elements in a row.

    The order is stable: equal elements keep theirs. NaN comes last. As `keras.ops.argsort`.
    """
    x, place = _line(x, axis)
    return moveaxis(argsort_row(moveaxis(x, place, -1)), -1, place)


@composed
def sort(x: Any, axis: int | None = -1) -> Any:
    """The elements along an axis in ascending order, NaN last; axis None: all elements in a row.

    The gradient of each result goes to the element it was. As `keras.ops.sort`.
    """
    x, place = _line(x, axis)
    x = moveaxis(x, place, -1)
    order = argsort_row(x)
    return moveaxis(gather.take_along_axis(x, order, axis=len(shape_of(x)) - 1), -1, place)


@composed
def argpartition(x: Any, kth: int, axis: int | None = -1) -> Any:
    """Positions along an axis, as int32: of elements not above element kth, of it, and of those not below it.

    Here as `argsort`, which is one such order. ArgumentError: kth is outside the axis.
    """
    x, place = _line(x, axis)
    length = shape_of(x)[place]
    if isinstance(length, int) and not -length <= kth < length:
        raise ArgumentError(f"argpartition: kth {kth} is outside an axis of {length} elements")
    return argsort(x, place)


def _line(x: Any, axis: int | None) -> tuple[Any, int]:
    """x and its axis; flattened where there is none."""
    x = tensor(x)
    if axis is None:
        return ravel(x), 0
    if not shape_of(x):
        raise ArgumentError(f"a number has no axis {axis} to sort along")
    return x, axis_of(x, axis)


@composed
def top_k(x: Any, k: int, sorted: bool = True) -> tuple[Any, Any]:
    """The k largest elements of each row, the largest first, and their positions in the row, as int32.

    Of equal elements the first come first; NaN counts as larger than all. `sorted` changes nothing: they always are.
    ArgumentError: k is negative or larger than the last axis. As `keras.ops.top_k`.
    """
    del sorted
    x = tensor(x)
    have = shape_of(x)
    if not have:
        raise ShapeError("top_k of a number: it has no last axis")
    length, last = have[-1], len(have) - 1
    if not isinstance(k, (int, np.integer)) or k < 0 or (isinstance(length, int) and k > length):
        raise ArgumentError(f"top_k: k must lie between 0 and the {length} elements of the last axis, and is {k!r}")
    order = argsort_row(flip(x, last))  # the last of equal ones is the first of these
    order = cast(length - 1, "int32") - flip(part(order, last, length - int(k), int(k)), last)
    return gather.take_along_axis(x, order, axis=last), order


@composed
def in_top_k(targets: Any, predictions: Any, k: int) -> Any:
    """Whether the target's prediction is among the k largest of its row; the ones equal to it do not count against it.

    targets: int (batch,); predictions: (batch, classes). Where the target's prediction is not finite, or the target is
    no class, False. ShapeError: other shapes. As `keras.ops.in_top_k`.
    """
    targets, predictions = tensor(targets), tensor(predictions)
    if len(shape_of(predictions)) != len(shape_of(targets)) + 1:
        shapes = f"{shown(shape_of(targets))} and {shown(shape_of(predictions))}"
        raise ShapeError(f"in_top_k: predictions have one axis more than targets, and these have shapes {shapes}")
    rank, count = len(shape_of(targets)), shape_of(predictions)[-1]
    inside = logical_and(less(targets, count), logical_not(less(targets, 0)))
    own = FUNCTIONS["where"](inside, targets, 0)
    chosen = gather.take_along_axis(predictions, expand_dims(cast(own, "int32"), rank), axis=rank)
    larger = statistics.sum(cast(greater(predictions, chosen), "int32"), rank)
    counts = logical_and(isfinite(squeeze(chosen, rank)), less(larger, k))
    return logical_and(inside, counts)
