"""Rows on matrices: cholesky, solve, solve_triangular. A matrix is the last two axes; those before it are a batch.

Each is one row until gradients are there, with a gradient of its own; then it becomes a loop over rows or columns.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from kgraph.errors import ShapeError
from kgraph.graph.op import FUNCTIONS, Op, common_float
from kgraph.graph.sizes import Dim, broadcast_shapes, shown
from kgraph.graph.types import TensorType
from kgraph.ops import statistics
from kgraph.ops.arithmetic import absolute, add, divide, multiply, negative, subtract, where
from kgraph.ops.compare import equal, greater_equal, less
from kgraph.ops.creating import dtype_of, eye, tril, triu
from kgraph.ops.loops import fori_loop
from kgraph.ops.move import iota, shape_of
from kgraph.ops.products import matmul
from kgraph.ops.shapes import broadcast_to, swapaxes
from kgraph.ops.transcendental import sqrt
from kgraph.tracing.trace import Symbol, primitive

Gradients = tuple[Any, ...]


def square_size(x: TensorType, name: str) -> Dim:
    if x.rank < 2 or x.shape[-1] != x.shape[-2]:
        raise ShapeError(f"{name} of square matrices (..., n, n), not of shape {shown(x.shape)}")
    return x.shape[-1]


def turned(x: Any) -> Any:
    return swapaxes(x, -1, -2)


def numbers_along(x: Any, axis: int) -> Any:
    """The numbers of the rows (axis -2) or columns (-1) of matrices, broadcasting to these."""
    size = shape_of(x)[axis]
    return iota(shape=(size, 1) if axis == -2 else (1, size), axis=0 if axis == -2 else 1, dtype="int32")


def row_of(x: Any, number: Any) -> Any:
    """Row `number` of matrices, as (..., 1, n)."""
    return statistics.sum(where(equal(numbers_along(x, -2), number), x, 0), -2, keepdims=True)


def column_of(x: Any, number: Any) -> Any:
    """Column `number` of matrices, as (..., n, 1)."""
    return statistics.sum(where(equal(numbers_along(x, -1), number), x, 0), -1, keepdims=True)


def _each(call: Callable[[np.ndarray], np.ndarray]) -> Callable[[np.ndarray], np.ndarray]:
    """The function of numpy, with NaN for a matrix that it refuses."""

    def run(x: np.ndarray) -> np.ndarray:
        flat = x.reshape(-1, *x.shape[-2:])
        found = np.empty_like(flat)
        for number, one in enumerate(flat):
            try:
                found[number] = call(one)
            except np.linalg.LinAlgError:
                found[number] = np.nan
        return found.reshape(x.shape)

    return run


# cholesky ------------------------------------------------------------------------------------------------------------


def _cholesky_type(x: TensorType) -> TensorType:
    square_size(x, "cholesky")
    return x


def _cholesky_opened(x: Any) -> Any:
    """Column by column: what is left of a column of x, over the root of its first element."""
    rows, columns = numbers_along(x, -2), numbers_along(x, -1)

    def step(number: Any, found: Any) -> Any:
        rest = subtract(column_of(x, number), matmul(found, turned(row_of(found, number))))
        made = divide(rest, sqrt(row_of(rest, number)))
        made = where(greater_equal(rows, number), made, 0)
        return where(equal(columns, number), made, found)

    return fori_loop(0, shape_of(x)[-1], step, FUNCTIONS["zeros_like"](x))


def _cholesky_vjp(g: Symbol, y: Symbol, x: Symbol) -> Gradients:
    """S = L^-T phi(L^T g) L^-1, where phi takes the lower triangle and half the diagonal; see Murray, 2016."""
    inner = tril(matmul(turned(y), g))
    inner = where(equal(numbers_along(y, -2), numbers_along(y, -1)), multiply(inner, 0.5), inner)
    back = triangular_row(turned(y), inner, lower=False)
    back = turned(triangular_row(turned(y), turned(back), lower=False))
    return (multiply(add(back, turned(back)), 0.5),)


cholesky_row = primitive(
    Op(
        name="cholesky",
        kind="compose",
        type=_cholesky_type,
        numpy=_each(np.linalg.cholesky),
        opened=_cholesky_opened,
        vjp=_cholesky_vjp,
        casts=common_float,
    )
)


def check_square(x: Any, name: str) -> None:
    square_size(TensorType(shape_of(x)), name)


def unit(x: Any) -> Any:
    return broadcast_to(eye(shape_of(x)[-1], dtype=dtype_of(x)), shape_of(x))


# systems of equations ------------------------------------------------------------------------------------------------


def _solve_type(a: TensorType, b: TensorType, **attrs: Any) -> TensorType:
    size = square_size(a, "solve")
    if b.rank < 2 or b.shape[-2] != size:
        raise ShapeError(f"solve: a of shape {shown(a.shape)} wants b of shape (..., {size}, m), not {shown(b.shape)}")
    return TensorType((*broadcast_shapes(a.shape[:-2], b.shape[:-2]), *b.shape[-2:]), b.dtype)


def _solve_numpy(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    a, b = _broadcast(a, b)
    found = np.empty_like(b)
    for place in np.ndindex(b.shape[:-2]):
        try:
            found[place] = np.linalg.solve(a[place], b[place])
        except np.linalg.LinAlgError:
            found[place] = np.nan
    return found


def _broadcast(a: np.ndarray, b: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    batch = np.broadcast_shapes(a.shape[:-2], b.shape[:-2])
    return np.broadcast_to(a, (*batch, *a.shape[-2:])), np.broadcast_to(b, (*batch, *b.shape[-2:]))


def _solve_opened(a: Any, b: Any) -> Any:
    """Elimination of each column in turn, with the largest element that is left of it as the pivot."""
    rows = numbers_along(a, -2)
    batch = broadcast_shapes(shape_of(a)[:-2], shape_of(b)[:-2])
    given = tuple(broadcast_to(one, (*batch, *shape_of(one)[-2:])) for one in (a, b))

    def step(number: Any, state: Any) -> Any:
        left, right = exchanged(state, number)
        pivot = row_of(column_of(left, number), number)
        made = [divide(row_of(one, number), pivot) for one in (left, right)]
        here = equal(rows, number)
        factors = where(here, 0, column_of(left, number))
        pairs = zip((left, right), made, strict=True)
        return tuple(where(here, new, subtract(one, multiply(factors, new))) for one, new in pairs)

    return fori_loop(0, shape_of(a)[-1], step, given)[1]


def exchanged(state: Any, number: Any) -> list[Any]:
    """The matrices with the pivot's row in place of row `number`, and that one in place of it."""
    rows, best = numbers_along(state[0], -2), pivot_of(state[0], number)
    here, there = equal(rows, number), equal(rows, best)
    return [where(here, row_of(one, best), where(there, row_of(one, number), one)) for one in state]


def pivot_of(x: Any, number: Any) -> Any:
    """The row, from `number` on, with the largest element of column `number`: (..., 1, 1)."""
    size = absolute(column_of(x, number))
    size = where(less(numbers_along(x, -2), number), -1.0, size)
    return FUNCTIONS["argmax"](size, -2, keepdims=True)


def _solve_vjp(g: Symbol, y: Symbol, a: Symbol, b: Symbol) -> Gradients:
    back = solve_row(turned(a), g)
    return negative(matmul(back, turned(y))), back


solve_row = primitive(
    Op(
        name="solve",
        kind="compose",
        type=_solve_type,
        numpy=_solve_numpy,
        opened=_solve_opened,
        vjp=_solve_vjp,
        casts=common_float,
    )
)


def _triangular_numpy(a: np.ndarray, b: np.ndarray, lower: bool) -> np.ndarray:
    return _solve_numpy(np.tril(a) if lower else np.triu(a), b)


def _triangular_opened(a: Any, b: Any, lower: bool) -> Any:
    """Row after row, from the one that has a single unknown on."""
    rows, size = numbers_along(a, -2), shape_of(a)[-1]
    shape = _solve_type(TensorType(shape_of(a)), TensorType(shape_of(b))).shape
    b = broadcast_to(b, shape)

    def step(turn: Any, found: Any) -> Any:
        number = turn if lower else subtract(size - 1, turn)
        line = row_of(a, number)
        rest = subtract(row_of(b, number), matmul(line, found))  # found is 0 where nothing is known yet
        return where(equal(rows, number), divide(rest, column_of(line, number)), found)

    return fori_loop(0, size, step, FUNCTIONS["zeros_like"](b))


def _triangular_vjp(g: Symbol, y: Symbol, a: Symbol, b: Symbol, lower: bool) -> Gradients:
    back = triangular_row(turned(a), g, lower=not lower)
    whole = negative(matmul(back, turned(y)))
    return (tril if lower else triu)(whole), back


triangular_row = primitive(
    Op(
        name="solve_triangular",
        kind="compose",
        type=_solve_type,
        numpy=_triangular_numpy,
        opened=_triangular_opened,
        vjp=_triangular_vjp,
        casts=common_float,
    )
)
