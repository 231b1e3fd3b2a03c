"""An einsum of two operands as a matrix product: how they are turned and flattened before it, and the result after."""

from __future__ import annotations

from dataclasses import dataclass
from math import prod

from kgraph.ops.contract import parts_of

Axes = tuple[int, ...]


@dataclass(frozen=True)
class View:
    """A transpose, then a reshape."""

    axes: Axes
    shape: Axes

    def turns(self) -> bool:
        """Whether the transpose changes anything."""
        return self.axes != tuple(range(len(self.axes)))


@dataclass(frozen=True)
class Product:
    """(batch..., rows..., summed) @ (batch..., summed, columns), where rows stay apart if there is no batch."""

    left: View
    right: View
    made: Axes  # the shape of the product with every axis apart
    axes: Axes  # the transpose that brings these into the order of the result
    batched: bool


def labels(spec: str) -> tuple[str, str, str]:
    """The axes of both operands and of the result."""
    (left, right), result = parts_of(spec)
    return left, right, result


def is_pair(spec: str) -> bool:
    """Whether the einsum has two operands in which no axis is named twice."""
    operands, _ = parts_of(spec)
    return len(operands) == 2 and all(len(set(one)) == len(one) for one in operands)


def product(spec: str, left_shape: Axes, right_shape: Axes) -> Product | None:
    """The matrix product that computes an einsum; None for one that is none."""
    if not is_pair(spec):
        return None
    left, right, result = labels(spec)
    sizes = dict(zip(left, left_shape, strict=True))
    if any(sizes.setdefault(name, size) != size for name, size in zip(right, right_shape, strict=True)):
        return None  # an axis of size 1 that stretches
    batch = [name for name in result if name in left and name in right]
    rows = [name for name in result if name in left and name not in right]
    columns = [name for name in result if name in right and name not in left]
    summed = [name for name in right if name in left and name not in result]
    if not summed or len(batch + rows + summed) != len(left) or len(batch + summed + columns) != len(right):
        return None

    def size(*names: str) -> int:
        return prod(sizes[name] for name in names)

    def order(names: list[str], of: str) -> Axes:
        return tuple(of.index(name) for name in names)

    outer = tuple(sizes[name] for name in batch)
    lines = (size(*rows),) if batch else tuple(sizes[name] for name in rows)
    made = [*batch, *rows, *columns]
    return Product(
        View(order([*batch, *rows, *summed], left), (*outer, *lines, size(*summed))),
        View(order([*batch, *summed, *columns], right), (*outer, size(*summed), size(*columns))),
        tuple(sizes[name] for name in made),
        tuple(made.index(name) for name in result),
        bool(batch),
    )


def multiplied(spec: str, left_shape: Axes, right_shape: Axes) -> tuple[View, View] | None:
    """An einsum that sums nothing: how both operands are laid along the axes of the result; None for another."""
    if not is_pair(spec):
        return None
    left, right, result = labels(spec)
    if set(left + right) != set(result):
        return None
    found = []
    for own, shape in ((left, left_shape), (right, right_shape)):
        axes = tuple(own.index(name) for name in result if name in own)
        found.append(View(axes, tuple(shape[own.index(name)] if name in own else 1 for name in result)))
    return found[0], found[1]
