"""Public products: einsum, matmul, dot, tensordot and their like, all written with the row einsum."""

from __future__ import annotations

from collections.abc import Sequence
from string import ascii_letters
from typing import Any

import numpy as np

from kgraph.errors import ArgumentError, KGraphError, ShapeError
from kgraph.graph.sizes import shown
from kgraph.ops import contract
from kgraph.ops.arithmetic import cast, multiply, subtract
from kgraph.ops.compare import not_equal
from kgraph.ops.creating import dtype_of, zeros_like
from kgraph.ops.equation import canonical, from_lists
from kgraph.ops.joining import stack, unstack
from kgraph.ops.move import shape_of
from kgraph.ops.shapes import expand_dims, many_axes, moveaxis, one_axis, ravel, reshape
from kgraph.tracing.origin import user_line
from kgraph.tracing.trace import Symbol, explain, function


def contracted(spec: str, *operands: Any) -> Any:
    """The row einsum, with operands called by their names when they do not fit.

    Booleans give "any of the products"; int8 is summed in int32.
    """
    try:
        contract.sizes_of(spec, [shape_of(x) for x in operands], [_name(x, n) for n, x in enumerate(operands)])
    except KGraphError as error:
        symbols = [x for x in operands if isinstance(x, Symbol)]
        explain(error, "einsum", symbols, user_line())
        raise
    kinds = {dtype_of(x) for x in operands}
    if kinds == {"bool"}:
        counted = contract.einsum(*(cast(x, "int32") for x in operands), spec=spec)
        return not_equal(counted, 0)
    if kinds == {"int8"} and len(operands) > 1:
        operands = tuple(cast(x, "int32") for x in operands)
    return contract.einsum(*operands, spec=spec)


def _name(x: Any, number: int) -> str:
    name = getattr(x, "path", None) or (x.stem if isinstance(x, Symbol) else "")
    return name or f"operand {number}"


@function
def einsum(subscripts: Any, *operands: Any, **kwargs: Any) -> Any:
    """The sum of products that an equation names: einsum("bij,bjk->bik", x, y). The grammar is numpy's, "..." too.

    Operands meet in one dtype. Raises ShapeError where a label has two sizes. optimize is accepted and not needed.
    """
    unknown = kwargs.keys() - {"optimize"}
    if unknown:
        raise ArgumentError(f"einsum takes no argument {min(unknown)!r}")
    if not isinstance(subscripts, str):
        subscripts, operands = from_lists((subscripts, *operands))  # type: ignore[assignment]
    if any(isinstance(x, Symbol) and x.type is None for x in operands):  # a pattern of a rewrite rule
        return contract.einsum(*operands, spec=subscripts)
    return contracted(canonical(subscripts, [shape_of(x) for x in operands]), *operands)


@function
def matmul(x1: Any, x2: Any) -> Any:
    """The product of matrices: (..., n, k) and (..., k, m) give (..., n, m); leading axes broadcast, vectors fit in."""
    left, right = len(shape_of(x1)), len(shape_of(x2))
    if not left or not right:
        raise ShapeError(f"matmul of {shown(shape_of(x1))} and {shown(shape_of(x2))}: a number has no axis to sum over")
    batch = ascii_letters[3 : 3 + max(left, right, 2) - 2]
    one = _last(batch, left - 2) + "ab"[-min(left, 2) :]
    other = _last(batch, right - 2) + "bc"[: min(right, 2)]
    result = batch + "a" * (left > 1) + "c" * (right > 1)
    return contracted(_renamed(f"{one},{other}->{result}"), x1, x2)


def _last(labels: str, count: int) -> str:
    return labels[len(labels) - count :] if count > 0 else ""


def _renamed(spec: str) -> str:
    """Letters in the order in which they first occur, so that equal products have equal specs."""
    labels = [label for label in dict.fromkeys(spec) if label.isalpha()]
    names = dict(zip(labels, ascii_letters, strict=False))
    return "".join(names.get(letter, letter) for letter in spec)


@function
def dot(x1: Any, x2: Any) -> Any:
    """The sum over the last axis of x1 and the second last of x2 (the only one of a vector); numbers multiply."""
    left, right = len(shape_of(x1)), len(shape_of(x2))
    if not left or not right:
        return multiply(x1, x2)
    return tensordot(x1, x2, ((left - 1,), (max(right - 2, 0),)))


@function
def tensordot(x1: Any, x2: Any, axes: Any = 2) -> Any:
    """The sum over the last `axes` axes of x1 and the first of x2, or over a pair of lists of axes."""
    left, right = len(shape_of(x1)), len(shape_of(x2))
    if isinstance(axes, (int, np.integer)):
        if axes > min(left, right):
            shapes = f"{shown(shape_of(x1))} and {shown(shape_of(x2))}"
            raise ArgumentError(f"tensordot over {axes} axes of {shapes}")
        pair: tuple[Sequence[int], Sequence[int]] = (range(left - axes, left), range(axes))
    else:
        pair = many_axes(axes[0], left), many_axes(axes[1], right)
    if len(pair[0]) != len(pair[1]):
        raise ArgumentError(f"tensordot over {len(pair[0])} axes of one and {len(pair[1])} of the other")
    return contracted(_paired(left, right, pair[0], pair[1], ()), x1, x2)


def _paired(left: int, right: int, one: Sequence[int], other: Sequence[int], batch: Sequence[int]) -> str:
    """The spec of a product: axes one[i] and other[i] are summed together, `batch` axes stay together."""
    first = list(ascii_letters[:left])
    second = list(ascii_letters[left : left + right])
    for i, j in zip([*one, *batch], [*other, *batch], strict=True):
        second[j] = first[i]
    summed = {first[i] for i in one}
    result = [label for label in dict.fromkeys(first + second) if label not in summed]
    return _renamed(f"{''.join(first)},{''.join(second)}->{''.join(result)}")


@function
def batch_dot(x: Any, y: Any, axes: int | Sequence[int] | None = None) -> Any:
    """For each sample, the sum over one axis of x and one of y; `layers.Dot` is this.

    axes: one axis of both, or (axis of x, axis of y), counted with the batch; by default the last of x and the second
    last of y. The result has the other axes of x, then those of y; where none are left, shape (batch, 1).
    """
    left, right = len(shape_of(x)), len(shape_of(y))
    if left < 2 or right < 2:
        raise ShapeError(f"batch_dot of {shown(shape_of(x))} and {shown(shape_of(y))}: each needs a batch and an axis")
    if axes is None:
        axes = (left - 1, 1 if right == 2 else right - 2)
    pair = (axes, axes) if isinstance(axes, (int, np.integer)) else tuple(axes)
    one, other = one_axis(pair[0], left), one_axis(pair[1], right)
    if not one or not other:
        raise ArgumentError(f"batch_dot over axes {pair}: axis 0 is the batch")
    result = contracted(_paired(left, right, [one], [other], [0]), x, y)
    return expand_dims(result, 1) if left == right == 2 else result


@function
def vdot(x1: Any, x2: Any) -> Any:
    """The sum of the products of all elements."""
    return contracted("a,a->", ravel(x1), ravel(x2))


@function
def inner(x1: Any, x2: Any) -> Any:
    """The sum over the last axes of both; numbers multiply."""
    left, right = len(shape_of(x1)), len(shape_of(x2))
    if not left or not right:
        return multiply(x1, x2)
    return tensordot(x1, x2, ((left - 1,), (right - 1,)))


@function
def outer(x1: Any, x2: Any) -> Any:
    """All products of an element of x1 and one of x2: (size of x1, size of x2)."""
    return contracted("a,b->ab", ravel(x1), ravel(x2))


@function
def kron(x1: Any, x2: Any) -> Any:
    """The Kronecker product: x2 in blocks, times the elements of x1."""
    rank = max(len(shape_of(x1)), len(shape_of(x2)))
    shapes = [(1,) * (rank - len(shape_of(x))) + tuple(shape_of(x)) for x in (x1, x2)]
    one = reshape(x1, [size for dim in shapes[0] for size in (dim, 1)])
    other = reshape(x2, [size for dim in shapes[1] for size in (1, dim)])
    return reshape(multiply(one, other), [a * b for a, b in zip(*shapes, strict=True)])


@function
def cross(x1: Any, x2: Any, axisa: int = -1, axisb: int = -1, axisc: int = -1, axis: int | None = None) -> Any:
    """The vector product along an axis of 3 elements (or 2, their third being 0)."""
    if axis is not None:
        axisa = axisb = axisc = axis
    one, other = moveaxis(x1, axisa, -1), moveaxis(x2, axisb, -1)
    sizes = shape_of(one)[-1], shape_of(other)[-1]
    if not set(sizes) <= {2, 3}:
        raise ShapeError(f"cross of vectors with {sizes[0]} and {sizes[1]} elements; they need 2 or 3")
    a, b = _components(one), _components(other)
    pairs = ((1, 2), (2, 0), (0, 1))
    if sizes == (2, 2):
        return _minor(a, b, 0, 1)
    return moveaxis(stack([_minor(a, b, i, j) for i, j in pairs], -1), -1, axisc)


def _components(x: Any) -> list[Any]:
    parts = unstack(x, axis=-1)
    return parts if len(parts) == 3 else [*parts, zeros_like(parts[0])]


def _minor(a: list[Any], b: list[Any], i: int, j: int) -> Any:
    return subtract(multiply(a[i], b[j]), multiply(a[j], b[i]))
