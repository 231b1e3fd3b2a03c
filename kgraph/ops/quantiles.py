"""Functions of sorted elements and of counts: median, quantile, searchsorted, bincount, histogram, unique."""

from __future__ import annotations

import builtins
from typing import Any

import numpy as np

from kgraph.errors import ArgumentError, ShapeError
from kgraph.graph.op import FUNCTIONS
from kgraph.graph.sizes import product, shown
from kgraph.graph.types import is_float
from kgraph.ops import gather, statistics
from kgraph.ops.arithmetic import add, cast, divide, maximum, minimum, multiply, subtract, where
from kgraph.ops.axes import axes_of
from kgraph.ops.compare import equal, greater_equal, isnan, less, less_equal, logical_and, logical_not, logical_or
from kgraph.ops.creating import arange, dtype_of, linspace, zeros
from kgraph.ops.indexing import take
from kgraph.ops.joining import concatenate
from kgraph.ops.loops import fori_loop
from kgraph.ops.move import iota, part, shape_of
from kgraph.ops.reduce import reduced
from kgraph.ops.scattering import scatter_add, scatter_set
from kgraph.ops.shapes import broadcast_to, expand_dims, moveaxis, ravel, reshape
from kgraph.ops.sorting import argsort, sort
from kgraph.ops.tensors import composed, floating, tensor
from kgraph.tracing.trace import is_symbolic

METHODS = ("linear", "lower", "higher", "midpoint", "nearest")
FEW = 64  # elements that are compared one by one rather than searched


@composed
def quantile(x: Any, q: Any, axis: Any = None, method: str = "linear", keepdims: bool = False) -> Any:
    """What a share q of the elements along axes (None: of all) lies below; NaN where one of these is NaN.

    q: a number or a tensor of numbers from 0 to 1, whose shape comes first in the result. method says what is taken
    between two elements: linear, lower, higher, midpoint or nearest. ArgumentError: another method. As
    `keras.ops.quantile`.
    """
    return _quantile(x, q, axis, method, keepdims, False)


@composed
def nanquantile(x: Any, q: Any, axis: Any = None, method: str = "linear", keepdims: bool = False) -> Any:
    """`quantile` of the elements that are not NaN; NaN where there are none."""
    return _quantile(x, q, axis, method, keepdims, True)


@composed
def percentile(x: Any, q: Any, axis: Any = None, method: str = "linear", keepdims: bool = False) -> Any:
    """`quantile` with q from 0 to 100."""
    return _quantile(x, divide(q, 100.0), axis, method, keepdims, False)


@composed
def nanpercentile(x: Any, q: Any, axis: Any = None, method: str = "linear", keepdims: bool = False) -> Any:
    """`percentile` of the elements that are not NaN; NaN where there are none."""
    return _quantile(x, divide(q, 100.0), axis, method, keepdims, True)


@composed
def median(x: Any, axis: Any = None, keepdims: bool = False) -> Any:
    """The middle of the elements along axes, or the mean of both in the middle; NaN where one of these is NaN."""
    return _quantile(x, 0.5, axis, "linear", keepdims, False)


@composed
def nanmedian(x: Any, axis: Any = None, keepdims: bool = False) -> Any:
    """`median` of the elements that are not NaN; NaN where there are none."""
    return _quantile(x, 0.5, axis, "linear", keepdims, True)


def _quantile(x: Any, q: Any, axis: Any, method: str, keepdims: bool, skips_nan: bool) -> Any:
    if method not in METHODS:
        raise ArgumentError(f"quantile: method is one of {', '.join(METHODS)}, not {method!r}")
    x = floating(x)
    dtype, q = dtype_of(x), tensor(q)
    have, axes, shares = shape_of(x), axes_of(x, axis), shape_of(q)
    others = tuple(place for place in range(len(have)) if place not in axes)
    x = FUNCTIONS["transpose"](x, (*others, *axes)) if have else x
    x = reshape(x, (*(have[place] for place in others), product(have[place] for place in axes)))
    last = len(others)
    if shape_of(x)[-1] == 0:
        raise ShapeError(f"a quantile of no elements: axes {axes} of shape {shown(have)} are empty")
    x = sort(x, last)
    count = statistics.sum(cast(logical_not(isnan(x)), dtype), last, keepdims=True)  # NaN is sorted to the end
    if not skips_nan:
        count = statistics.sum(cast(equal(x, x) if not have else logical_or(isnan(x), equal(x, x)), dtype), last, True)
    place = multiply(subtract(count, 1), reshape(cast(q, dtype), (*(1,) * last, product(shares))))
    found = _between(x, maximum(place, 0), last, method)
    lost = equal(count, 0) if skips_nan else statistics.any(isnan(x), last, keepdims=True)
    found = moveaxis(where(lost, np.nan, found), -1, 0)
    return reshape(cast(found, dtype), (*shares, *reduced(have, axes, keepdims)))


def _between(x: Any, place: Any, last: int, method: str) -> Any:
    """The elements of sorted rows at places that need not be whole."""
    low = FUNCTIONS["floor"](place)

    def at(some: Any) -> Any:
        return gather.take_along_axis(x, minimum(cast(some, "int32"), shape_of(x)[last] - 1), axis=last)

    if method == "lower":
        return at(low)
    if method == "nearest":
        return at(FUNCTIONS["round"](place))
    high = FUNCTIONS["ceil"](place)
    if method == "higher":
        return at(high)
    share = multiply(0.5, subtract(high, low)) if method == "midpoint" else subtract(place, low)
    below, above = at(low), at(high)
    return where(equal(share, 0), below, add(multiply(below, subtract(1, share)), multiply(above, share)))


# searching -----------------------------------------------------------------------------------------------------------


@composed
def searchsorted(sorted_sequence: Any, values: Any, side: str = "left") -> Any:
    """Where values belong in a sorted vector, as int32: before the elements equal to them, or, with "right", after.

    NaN counts as larger than all. ShapeError: the sequence is no vector. As `keras.ops.searchsorted`.
    """
    if side not in ("left", "right"):
        raise ArgumentError(f"searchsorted: side is left or right, not {side!r}")
    line, values = tensor(sorted_sequence), tensor(values)
    if len(shape_of(line)) != 1:
        raise ShapeError(f"searchsorted: the sorted sequence is a vector, not of shape {shown(shape_of(line))}")
    (length,) = shape_of(line)
    if isinstance(length, int) and length <= FEW:
        comes = _comes_before(line, expand_dims(values, -1), side)
        return statistics.sum(cast(comes, "int32"), len(shape_of(values)))
    bits = length.bit_length() if isinstance(length, int) else 31

    def step(number: Any, found: Any) -> Any:
        jump = FUNCTIONS["left_shift"](cast(1, "int32"), subtract(bits - 1, number))
        tried = add(found, jump)
        inside = logical_and(less_equal(tried, length), less(found, tried))  # not beyond the largest int32
        comes = _comes_before(take(line, where(inside, subtract(tried, 1), 0), 0), values, side)
        return where(logical_and(inside, comes), tried, found)

    return fori_loop(0, bits, step, FUNCTIONS["zeros_like"](values, dtype="int32"))


def _comes_before(element: Any, value: Any, side: str) -> Any:
    if side == "left":
        comes = less(element, value)
        return logical_or(comes, logical_and(isnan(value), logical_not(isnan(element)))) if _floats(value) else comes
    comes = less_equal(element, value)
    return logical_or(comes, isnan(value)) if _floats(value) else comes


def _floats(x: Any) -> bool:
    return is_float(dtype_of(x))


@composed
def digitize(x: Any, bins: Any) -> Any:
    """The number of the bin of each element, as int32: how many of the ascending bounds are not above it.

    As `keras.ops.digitize`.
    """
    return searchsorted(bins, x, "right")


@composed
def isin(x1: Any, x2: Any, assume_unique: bool = False, invert: bool = False) -> Any:
    """Which elements of x1 are among those of x2; invert: which are not."""
    del assume_unique
    x1 = tensor(x1)
    found = statistics.any(equal(expand_dims(x1, -1), ravel(tensor(x2))), len(shape_of(x1)))
    return logical_not(found) if invert else found


# counting ------------------------------------------------------------------------------------------------------------


@composed
def bincount(x: Any, weights: Any = None, minlength: int = 0, sparse: bool = False) -> Any:
    """How often each integer from 0 on is there, or the sum of its weights; of a matrix, for each row.

    Arrays: the result ends with the largest integer, or at minlength if that is longer. In a model, where sizes cannot
    depend on values, minlength says how long it is; an integer beyond is a RangeError at the call. ArgumentError: no
    minlength then, or sparse. As `keras.ops.bincount`.
    """
    if sparse:
        raise ArgumentError("bincount: there are no sparse tensors here")
    x = tensor(x)
    have = shape_of(x)
    if len(have) not in (1, 2):
        raise ShapeError(f"bincount of a vector or a matrix, not of shape {shown(have)}")
    length: Any = minlength
    if not is_symbolic((x,)):
        length = builtins.max(int(np.max(x, initial=-1)) + 1, minlength)
    elif minlength <= 0:
        raise ArgumentError("bincount: in a model its size cannot depend on values; say it with minlength")
    updates = FUNCTIONS["ones_like"](x, dtype="int32") if weights is None else tensor(weights)
    x = where(less(x, 0), length, x)  # -1 would mean the last
    if len(have) == 2:
        row = iota(shape=(have[0], 1), axis=0, dtype="int32")
        lines = where(less(x, length), add(x, multiply(row, length)), multiply(have[0], length))
        total = scatter_add(zeros((have[0] * length,), dtype_of(updates)), ravel(lines), ravel(updates), axis=0)
        return reshape(total, (have[0], length))
    return scatter_add(zeros((length,), dtype_of(updates)), x, updates, axis=0)


@composed
def histogram(x: Any, bins: Any = 10, range: Any = None) -> tuple[Any, Any]:
    """How many elements lie in each bin, and the bounds of the bins; the last bin has its upper bound, too.

    bins: how many, of equal width from the least element to the largest or over range, or their ascending bounds.
    ArgumentError: no bins. As `keras.ops.histogram`.
    """
    x = ravel(tensor(x))
    if isinstance(bins, (int, np.integer)):
        if bins < 1:
            raise ArgumentError(f"histogram: bins must be positive, not {bins}")
        low, high = (statistics.min(x), statistics.max(x)) if range is None else range
        low, high = floating(low), floating(high)
        half = where(equal(low, high), 0.5, 0.0)
        edges = linspace(subtract(low, half), add(high, half), int(bins) + 1)
    else:
        edges = floating(bins)
    count = shape_of(edges)[0]
    reached = cast(greater_equal(expand_dims(x, 0), expand_dims(edges, 1)), "int32")
    above = statistics.sum(reached, 1)
    counts = subtract(part(above, 0, 0, count - 1), part(above, 0, 1, count - 1))
    at_end = statistics.sum(cast(equal(x, part(edges, 0, count - 1, 1)), "int32"))
    last = equal(iota(shape=(count - 1,), axis=0, dtype="int32"), count - 2)
    return cast(where(last, add(counts, at_end), counts), dtype_of(edges)), edges


@composed
def unique(
    x: Any, sorted: bool = True, return_index: bool = False, return_inverse: bool = False, return_counts: bool = False,
    axis: int | None = None, size: int | None = None, fill_value: Any = None,
) -> Any:  # fmt: skip
    """The different elements of x in ascending order, and with return_index, return_inverse, return_counts: where each
    is first, the number of the one that each element is, how often each is there.

    Sizes cannot depend on values in a model, so `size` says how many there are: fewer are filled up with fill_value
    (default the least), and of more the least are kept. On arrays it may be None. ArgumentError: no size in a model,
    or an axis. As `keras.ops.unique`.
    """
    del sorted
    x = tensor(x)
    if axis is not None:
        raise ArgumentError("unique: of single elements only; it takes no axis")
    if size is None:
        if is_symbolic((x,)):
            raise ArgumentError("unique: in a model its size cannot depend on values; say it with size")
        size = len(np.unique(x, equal_nan=False))
    have, x = shape_of(x), ravel(x)
    (length,) = shape_of(x)
    order = argsort(x)
    line = take(x, order, 0)
    first = concatenate([np.ones(1, np.bool_), FUNCTIONS["not_equal"](part(line, 0, 1, length - 1),
                                                                      part(line, 0, 0, length - 1))])  # fmt: skip
    starts = sort(where(first, arange(length, dtype="int32"), length))
    starts = concatenate([starts, broadcast_to(cast(length, "int32"), (size + 1,))])
    ends, starts = part(starts, 0, 1, size), part(starts, 0, 0, size)
    is_there, places = less(starts, length), minimum(starts, length - 1)
    found = [where(is_there, take(line, places, 0), take(line, 0, 0) if fill_value is None else fill_value)]
    if return_index:
        found.append(take(order, where(is_there, places, 0), 0))
    if return_inverse:
        number = subtract(FUNCTIONS["cumsum"](cast(first, "int32")), 1)
        found.append(reshape(scatter_set(FUNCTIONS["zeros_like"](order), order, number, axis=0), have))
    if return_counts:
        found.append(subtract(ends, starts))
    return found[0] if len(found) == 1 else tuple(found)


@composed
def nonzero(x: Any) -> Any:
    """The places of the elements of an array that are not 0, one vector of int32 for each axis.

    ArgumentError in a model: how many there are depends on values. `where` and masks do without.
    """
    if is_symbolic((x,)):
        raise ArgumentError(
            "nonzero, and where(condition) without values: in a model a size cannot depend on values; use "
            "where(condition, x1, x2), or a mask"
        )
    return tuple(place.astype(np.int32) for place in np.nonzero(x))
