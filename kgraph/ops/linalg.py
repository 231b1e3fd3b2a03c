"""Functions of matrices: cholesky, solve, inv, det, qr. A matrix is the last two axes; those before it are a batch."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from kgraph.errors import ArgumentError, ShapeError
from kgraph.graph.op import FUNCTIONS
from kgraph.graph.sizes import shown
from kgraph.ops import statistics
from kgraph.ops.arithmetic import add, divide, multiply, subtract, where
from kgraph.ops.compare import equal
from kgraph.ops.creating import tril, triu
from kgraph.ops.determinants import det_row, sign_row, size_row
from kgraph.ops.loops import fori_loop
from kgraph.ops.matrices import (
    check_square,
    cholesky_row,
    column_of,
    numbers_along,
    solve_row,
    triangular_row,
    turned,
    unit,
)
from kgraph.ops.missing import looked_up
from kgraph.ops.move import shape_of
from kgraph.ops.products import matmul
from kgraph.ops.shapes import expand_dims, squeeze
from kgraph.ops.statistics import norm
from kgraph.ops.tensors import composed, floating
from kgraph.ops.transcendental import log, sqrt


@composed
def cholesky(x: Any, upper: bool = False) -> Any:
    """The lower triangular L with L L^T = x for symmetric, positive definite x; upper: L^T. NaN for other matrices.

    Of x, (x + x^T) / 2 is taken. ShapeError: x is not (..., n, n). As `keras.ops.cholesky`.
    """
    x = floating(x)
    check_square(x, "cholesky")
    found = cholesky_row(multiply(add(x, turned(x)), 0.5))
    return turned(found) if upper else found


@composed
def cholesky_inverse(x: Any, upper: bool = False) -> Any:
    """The inverse of a matrix from its factor x of `cholesky`: (x x^T)^-1, or (x^T x)^-1 if x is upper triangular."""
    x = floating(x)
    check_square(x, "cholesky_inverse")
    lower = triu(x) if upper else tril(x)
    lower = turned(lower) if upper else lower
    half = solve_triangular(lower, unit(lower), lower=True)
    return matmul(turned(half), half)


@composed
def solve(a: Any, b: Any) -> Any:
    """x with a x = b, for a (..., n, n) and b (..., n, m), or (..., n) with one axis less than a.

    Infinite or NaN where a is singular. ShapeError: other shapes. As `keras.ops.solve`.
    """
    return _solved(solve_row, a, b)


@composed
def solve_triangular(a: Any, b: Any, lower: bool = False) -> Any:
    """x with a x = b, where only the upper or the lower triangle of a is looked at. Shapes as for `solve`."""
    return _solved(lambda one, other: triangular_row(one, other, lower=bool(lower)), a, b)


def _solved(row: Callable[..., Any], a: Any, b: Any) -> Any:
    a, b = floating(a), floating(b)
    if len(shape_of(b)) == len(shape_of(a)) - 1:
        return squeeze(row(a, expand_dims(b, -1)), -1)
    return row(a, b)


@composed
def inv(x: Any) -> Any:
    """The inverse of matrices (..., n, n); infinite or NaN where a matrix is singular. As `keras.ops.inv`."""
    x = floating(x)
    check_square(x, "inv")
    return solve_row(x, unit(x))


@composed
def qr(x: Any, mode: str = "reduced") -> tuple[Any, Any]:
    """Q with orthonormal columns (..., m, n) and the upper triangular R (..., n, n) with Q R = x, for m >= n.

    The diagonal of R is positive, which makes both unique; LAPACK may turn signs. NaN where columns of x depend on each
    other. ArgumentError: another mode than "reduced". ShapeError: more columns than rows. As `keras.ops.qr`.
    """
    if mode != "reduced":
        raise ArgumentError(f"qr: the only mode is reduced, not {mode!r}")
    x = floating(x)
    have = shape_of(x)
    if len(have) < 2 or (isinstance(have[-1], int) and isinstance(have[-2], int) and have[-2] < have[-1]):
        raise ShapeError(f"qr of matrices with at least as many rows as columns, not of shape {shown(have)}")

    def step(number: Any, found: Any) -> Any:
        rest = column_of(x, number)
        for _ in range(2):  # what rounding left of the others is taken away by the second turn
            rest = subtract(rest, matmul(found, matmul(turned(found), rest)))
        made = divide(rest, sqrt(statistics.sum(multiply(rest, rest), -2, keepdims=True)))
        return where(equal(numbers_along(x, -1), number), made, found)

    found = fori_loop(0, have[-1], step, FUNCTIONS["zeros_like"](x))
    return found, triu(matmul(turned(found), x))


@composed
def lstsq(a: Any, b: Any, rcond: Any = None) -> Any:
    """The x with the least |a x - b|, for a (m, n) of full rank with m >= n, and b (m,) or (m, k), by way of `qr`.

    ArgumentError: an rcond, which would decide on a rank. As `keras.ops.lstsq`.
    """
    if rcond is not None:
        raise ArgumentError(f"lstsq: a has to be of full rank, so there is no rcond; it is {rcond!r}")
    left, right = qr(a)
    b = floating(b)
    vector = len(shape_of(b)) == len(shape_of(left)) - 1
    b = expand_dims(b, -1) if vector else b
    found = solve_triangular(right, matmul(turned(left), b))
    return squeeze(found, -1) if vector else found


@composed
def det(x: Any) -> Any:
    """The determinants of matrices (..., n, n). The gradient wants them to be invertible. As `keras.ops.det`."""
    return det_row(x)


@composed
def slogdet(x: Any) -> tuple[Any, Any]:
    """The sign of the determinant, and the logarithm of its absolute value. As `keras.ops.slogdet`."""
    x = floating(x)
    return sign_row(x), size_row(x)


@composed
def logdet(x: Any) -> Any:
    """The logarithm of the determinant of symmetric, positive definite matrices, by way of `cholesky`."""
    diagonal = FUNCTIONS["diagonal"](cholesky(x), axis1=-2, axis2=-1)
    return multiply(statistics.sum(log(diagonal), -1), 2)


__all__ = [
    "cholesky", "cholesky_inverse", "det", "inv", "logdet", "lstsq", "norm", "qr", "slogdet", "solve",
    "solve_triangular",
]  # fmt: skip


if not TYPE_CHECKING:

    def __getattr__(name: str) -> Any:
        """What keras.ops.linalg has too, and another module here defines."""
        return looked_up(__name__, name)
