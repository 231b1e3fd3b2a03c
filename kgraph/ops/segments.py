"""Functions of segments: slices of data along axis 0 that carry the same id are combined into one.

segment_ids: integers, one for each slice, in any order, sorted or not. num_segments: the length of the result; unless
it is given, one more than the largest id.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from kgraph.errors import ArgumentError
from kgraph.graph.types import ends_of
from kgraph.ops.arithmetic import cast, where
from kgraph.ops.compare import equal
from kgraph.ops.creating import dtype_of, zeros
from kgraph.ops.move import iota, shape_of
from kgraph.ops.reduce import max_row, min_row, prod_row
from kgraph.ops.scattering import scatter_add
from kgraph.ops.shapes import expand_dims, reshape
from kgraph.ops.tensors import tensor
from kgraph.tracing.trace import Symbol, function


@function
def segment_sum(data: Any, segment_ids: Any, num_segments: int | None = None, sorted: bool = False) -> Any:
    """Sums of the slices of data, along axis 0, that carry the same id; result: (num_segments, ...), 0 where none do.

    segment_ids: an integer for each slice, in any order; `sorted` changes nothing. num_segments: by default one more
    than the largest id; in a model it must be given. Raises ArgumentError if it is not, RangeError for an id beyond.
    """
    shape = (_count(segment_ids, num_segments), *shape_of(data)[1:])
    return scatter_add(zeros(shape, dtype_of(data)), segment_ids, data, axis=0)


@function
def segment_max(data: Any, segment_ids: Any, num_segments: int | None = None, sorted: bool = False) -> Any:
    """The largest of the slices of data, along axis 0, with the same id; see `segment_sum`.

    Where there are none, minus infinity, or the least integer of the dtype. Ids beyond count nowhere.
    """
    least, _ = ends_of(dtype_of(data))
    return max_row(_spread(data, segment_ids, num_segments, least), axes=(1,), keepdims=False, of_none=True)


@function
def segment_min(data: Any, segment_ids: Any, num_segments: int | None = None, sorted: bool = False) -> Any:
    """The least of the slices of data, along axis 0, with the same id; see `segment_sum`.

    Where there are none, infinity, or the largest integer of the dtype. Ids beyond count nowhere.
    """
    _, greatest = ends_of(dtype_of(data))
    return min_row(_spread(data, segment_ids, num_segments, greatest), axes=(1,), keepdims=False, of_none=True)


@function
def segment_prod(data: Any, segment_ids: Any, num_segments: int | None = None, sorted: bool = False) -> Any:
    """The products of the slices of data, along axis 0, with the same id; see `segment_sum`.

    Where there are none, 1. Ids beyond count nowhere.
    """
    product = prod_row(_spread(data, segment_ids, num_segments, 1), axes=(1,), keepdims=False)
    return cast(product, dtype_of(data))


def _spread(data: Any, segment_ids: Any, num_segments: int | None, elsewhere: Any) -> Any:
    """(num_segments, slices, ...): in each segment its own slices of data, and a number in the place of all others."""
    data = tensor(data)
    count, rank = _count(segment_ids, num_segments), len(shape_of(data))
    ids = reshape(segment_ids, (1, *shape_of(segment_ids), *(1,) * (rank - 1)))
    same = equal(ids, iota(shape=(count, *(1,) * rank), axis=0, dtype="int32"))
    return where(same, expand_dims(data, 0), elsewhere)


def _count(segment_ids: Any, num_segments: int | None) -> Any:
    if num_segments is not None:
        return num_segments
    if isinstance(segment_ids, Symbol):
        raise ArgumentError(
            "segment ids known only at the call need num_segments; where x.shape[0] is None, ops.shape(x)[0] is a size"
        )
    return int(np.max(segment_ids, initial=-1)) + 1
