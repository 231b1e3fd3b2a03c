"""Reductions that pass over NaN, as `keras.ops` has them."""

from __future__ import annotations

import math
from typing import Any

from kgraph.graph.op import FUNCTIONS
from kgraph.graph.types import is_float
from kgraph.ops import statistics
from kgraph.ops.arithmetic import cast, divide, square, subtract, where
from kgraph.ops.compare import isnan, logical_not
from kgraph.ops.creating import dtype_of
from kgraph.ops.tensors import composed, floating, tensor
from kgraph.ops.transcendental import sqrt


def _filled(x: Any, value: float) -> Any:
    """x with a number in place of NaN; integers have none."""
    x = tensor(x)
    return where(isnan(x), value, x) if is_float(dtype_of(x)) else x


def _there(x: Any) -> Any:
    """Which elements are not NaN."""
    return logical_not(isnan(floating(x)))


def _count(x: Any, axis: Any, keepdims: bool) -> Any:
    return statistics.sum(cast(_there(x), dtype_of(x)), axis, keepdims)


@composed
def nansum(x: Any, axis: Any = None, keepdims: bool = False) -> Any:
    """The sum along axes of what is not NaN; 0 where nothing is."""
    return statistics.sum(_filled(x, 0.0), axis, keepdims)


@composed
def nanprod(x: Any, axis: Any = None, keepdims: bool = False) -> Any:
    """The product along axes of what is not NaN; 1 where nothing is."""
    return statistics.prod(_filled(x, 1.0), axis, keepdims)


@composed
def nanmax(x: Any, axis: Any = None, keepdims: bool = False) -> Any:
    """The largest along axes of what is not NaN; NaN where nothing is."""
    return _extreme(statistics.max, -math.inf, x, axis, keepdims)


@composed
def nanmin(x: Any, axis: Any = None, keepdims: bool = False) -> Any:
    """The least along axes of what is not NaN; NaN where nothing is."""
    return _extreme(statistics.min, math.inf, x, axis, keepdims)


def _extreme(call: Any, least: float, x: Any, axis: Any, keepdims: bool) -> Any:
    x = tensor(x)
    found = call(_filled(x, least), axis, keepdims)
    if not is_float(dtype_of(x)):
        return found
    return where(statistics.any(_there(x), axis, keepdims), found, math.nan)


@composed
def nanargmax(x: Any, axis: int | None = None, keepdims: bool = False) -> Any:
    """The place of the largest of what is not NaN, as int32; -1 where nothing is."""
    return _place(statistics.argmax, -math.inf, x, axis, keepdims)


@composed
def nanargmin(x: Any, axis: int | None = None, keepdims: bool = False) -> Any:
    """The place of the least of what is not NaN, as int32; -1 where nothing is."""
    return _place(statistics.argmin, math.inf, x, axis, keepdims)


def _place(call: Any, least: float, x: Any, axis: int | None, keepdims: bool) -> Any:
    x = tensor(x)
    found = call(_filled(x, least), axis, keepdims)
    return where(statistics.any(_there(x), axis, keepdims), found, -1) if is_float(dtype_of(x)) else found


@composed
def nanmean(x: Any, axis: Any = None, keepdims: bool = False) -> Any:
    """The mean along axes of what is not NaN; NaN where nothing is."""
    x = floating(x)
    return divide(nansum(x, axis, keepdims), _count(x, axis, keepdims))


@composed
def nanvar(x: Any, axis: Any = None, keepdims: bool = False) -> Any:
    """The variance along axes of what is not NaN; NaN where nothing is."""
    x = floating(x)
    away = where(_there(x), subtract(x, nanmean(x, axis, True)), 0.0)
    return divide(statistics.sum(square(away), axis, keepdims), _count(x, axis, keepdims))


@composed
def nanstd(x: Any, axis: Any = None, keepdims: bool = False) -> Any:
    """The root of `nanvar`."""
    return sqrt(nanvar(x, axis, keepdims))


@composed
def nancumsum(x: Any, axis: int | None = None, dtype: Any = None) -> Any:
    """`cumsum` with NaN counted as 0."""
    return FUNCTIONS["cumsum"](_filled(x, 0.0), axis, dtype)


@composed
def nancumprod(x: Any, axis: int | None = None, dtype: Any = None) -> Any:
    """`cumprod` with NaN counted as 1."""
    return FUNCTIONS["cumprod"](_filled(x, 1.0), axis, dtype)
