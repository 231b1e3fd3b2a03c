"""Rows that make a number of each matrix: its determinant, or the sign and logarithm of it."""

from __future__ import annotations

from typing import Any

import numpy as np

from kgraph.graph.op import FUNCTIONS, Op, common_float
from kgraph.graph.types import TensorType
from kgraph.ops import statistics
from kgraph.ops.arithmetic import absolute, divide, multiply, negative, sign, subtract, where
from kgraph.ops.compare import equal, greater
from kgraph.ops.creating import dtype_of
from kgraph.ops.loops import fori_loop
from kgraph.ops.matrices import (
    Gradients,
    column_of,
    exchanged,
    numbers_along,
    pivot_of,
    row_of,
    solve_row,
    square_size,
    turned,
    unit,
)
from kgraph.ops.move import shape_of
from kgraph.ops.shapes import expand_dims, squeeze
from kgraph.ops.transcendental import log
from kgraph.tracing.trace import Symbol, primitive


def _number_type(x: TensorType) -> TensorType:
    square_size(x, "det")
    return TensorType(x.shape[:-2], x.dtype)


def _pivots(x: Any) -> Any:
    """Numbers (..., n) whose product is the determinant: the pivots, less for each exchange of rows."""
    rows, columns = numbers_along(x, -2), numbers_along(x, -1)

    def step(number: Any, state: Any) -> Any:
        left, found = state
        swaps = greater(pivot_of(left, number), number)
        (left,) = exchanged((left,), number)
        line, column = row_of(left, number), column_of(left, number)
        pivot = row_of(column, number)
        factors = where(greater(rows, number), divide(column, where(equal(pivot, 0), 1, pivot)), 0)
        found = where(equal(columns, number), where(swaps, negative(pivot), pivot), found)
        return subtract(left, multiply(factors, line)), found

    *batch, size, _ = shape_of(x)
    found = FUNCTIONS["zeros"]((*batch, 1, size), dtype_of(x))
    return squeeze(fori_loop(0, size, step, (x, found))[1], -2)


def _determinant(name: str, numpy: Any, opened: Any, slope: Any) -> Any:
    def vjp(g: Symbol, y: Symbol, x: Symbol) -> Gradients:
        if slope is None:
            return (None,)
        return (multiply(expand_dims(slope(g, y), (-1, -2)), turned(solve_row(x, unit(x)))),)

    return primitive(
        Op(name=name, kind="compose", type=_number_type, numpy=numpy, opened=opened, vjp=vjp, casts=common_float)
    )


det_row = _determinant("det", np.linalg.det, lambda x: statistics.prod(_pivots(x), -1), multiply)
size_row = _determinant(
    "log_of_det",
    lambda x: np.linalg.slogdet(x)[1],
    lambda x: statistics.sum(log(absolute(_pivots(x))), -1),
    lambda g, y: g,
)
sign_row = _determinant(
    "sign_of_det",
    lambda x: np.linalg.slogdet(x)[0],
    lambda x: statistics.prod(sign(_pivots(x)), -1),
    None,
)
