"""Index expressions: where an element of a moved tensor comes from. Rows of kind "move" are written with them.

    transpose: lambda index, x, axes: x[[index[axes.index(a)] for a in range(len(axes))]]
    concat:    lambda index, a, b:    choose(index[0] < n, a[index], b[[index[0] - n, *index[1:]]])

They know the extent of every loop variable, so a reshape of a reshape costs no division.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from kgraph.graph.sizes import Dim, Shape, at_least_zero, divide

UNBOUNDED = 1 << 62  # more values than any index has


@dataclass(frozen=True)
class Loop:
    """A loop variable: its name in the generated code, and how many values it takes."""

    name: str
    extent: Dim


@dataclass(frozen=True)
class Floor:
    """`value // divisor` or, with `rest`, `value % divisor`, that could not be simplified."""

    value: Index
    divisor: Dim
    rest: bool

    @property
    def extent(self) -> Dim:
        """A bound on its value, for further simplification; the divisor for a remainder."""
        return self.divisor if self.rest else _quotient_extent(self.value, self.divisor)


@dataclass(frozen=True)
class Index:
    """A sum of loop variables times sizes, plus a size."""

    terms: tuple[tuple[Any, Dim], ...] = ()
    offset: Dim = 0

    def __add__(self, other: Index | Dim) -> Index:
        other = index(other)
        total = dict(self.terms)
        for atom, factor in other.terms:
            total[atom] = total.get(atom, 0) + factor
        terms = tuple((atom, factor) for atom, factor in total.items() if factor != 0)
        return _rejoined(Index(terms, self.offset + other.offset))

    def __mul__(self, factor: Dim) -> Index:
        if factor == 0:
            return Index()
        return Index(tuple((atom, size * factor) for atom, size in self.terms), self.offset * factor)

    def __sub__(self, other: Index | Dim) -> Index:
        return self + index(other) * -1

    def __rsub__(self, other: Dim) -> Index:
        return index(other) - self

    __radd__ = __add__
    __rmul__ = __mul__

    def __floordiv__(self, divisor: Dim) -> Index:
        if divisor == 0:
            return Index()  # of an axis without elements, so nobody asks
        quotient, rest = self._divided(divisor)
        return quotient if _below(rest, divisor) else quotient + index(Floor(rest, divisor, False))

    def __mod__(self, divisor: Dim) -> Index:
        if divisor == 0:
            return Index()
        rest = self._divided(divisor)[1]
        return rest if _below(rest, divisor) else index(Floor(rest, divisor, True))

    def _divided(self, divisor: Dim) -> tuple[Index, Index]:
        """The part that the divisor divides evenly, divided, and what remains."""
        quotient, rest = Index(), Index()
        for atom, factor in self.terms:
            even = divide(factor, divisor)
            if even is None:
                rest += Index(((atom, factor),))
            else:
                quotient += Index(((atom, even),))
        even = divide(self.offset, divisor)
        return (quotient + even, rest) if even is not None else (quotient, rest + self.offset)

    def __lt__(self, other: Index | Dim) -> Condition:
        return Condition("<", (self, index(other)))

    def __ge__(self, other: Index | Dim) -> Condition:
        return Condition(">=", (self, index(other)))

    def equals(self, other: Index | Dim) -> Condition:
        """The condition that both are the same number."""
        return Condition("==", (self, index(other)))


@dataclass(frozen=True)
class Condition:
    """A comparison of indices, or conditions joined by `and`."""

    sign: str
    parts: tuple[Any, ...]

    def __and__(self, other: Condition) -> Condition:
        return Condition("and", (self, other))


@dataclass(frozen=True)
class Read:
    """The element of operand `slot` at these indices."""

    slot: int
    at: tuple[Index, ...]


@dataclass(frozen=True)
class Choose:
    """One of two expressions; the other is not evaluated."""

    condition: Condition
    then: Any
    other: Any


@dataclass(frozen=True)
class Apply:
    """A scalar expression of others: Apply("philox({0}, {1})", (a, b)); an Index stands for its number."""

    template: str
    arguments: tuple[Any, ...] = ()


class Operand:
    """What `read` sees of an input: its type, and `x[indices]`, an element of it."""

    def __init__(self, slot: int, type: Any) -> None:
        self.slot, self.type = slot, type

    @property
    def shape(self) -> Shape:
        return self.type.shape

    def __getitem__(self, at: Iterable[Index | Dim]) -> Read:
        indices = tuple(map(index, at))
        assert len(indices) == len(self.shape), f"{len(indices)} indices for a tensor of shape {self.shape}"
        return Read(self.slot, indices)


def index(value: Any) -> Index:
    """An Index from a size, a loop variable, or an element that holds an integer (`x[index(indices[i])]`)."""
    if isinstance(value, Index):
        return value
    return Index(((value, 1),)) if isinstance(value, (Loop, Floor, Read, Choose, Apply)) else Index((), value)


def choose(condition: Condition, then: Any, other: Any) -> Choose:
    """`then` where the condition holds, else `other`; each a Read, an Apply, an Index or a Choose."""
    return Choose(condition, then, other)


def flatten(indices: Sequence[Index], shape: Shape) -> Index:
    """The position in row-major order."""
    position = Index()
    for one, size in zip(indices, shape, strict=True):
        position = position * size + one
    return position


def unflatten(position: Index, shape: Shape) -> list[Index]:
    """The indices of a position in row-major order."""
    indices: list[Index] = []
    for size in reversed(shape[1:]):
        indices.append(position % size)
        position = position // size
    return [*([position] if shape else []), *reversed(indices)]


def _rejoined(value: Index) -> Index:
    """(p // d) * d + p % d is p again."""
    factors = dict(value.terms)
    for atom, factor in value.terms:
        if isinstance(atom, Floor) and atom.rest:
            quotient = Floor(atom.value, atom.divisor, False)
            if factors.get(quotient) == factor * atom.divisor:
                kept = tuple(term for term in value.terms if term[0] not in (atom, quotient))
                return Index(kept, value.offset) + atom.value * factor
    return value


def _below(value: Index, bound: Dim) -> bool:
    """Whether 0 <= value < bound is certain."""
    top: Dim = value.offset
    if not at_least_zero(top):
        return False
    for atom, factor in value.terms:
        extent = getattr(atom, "extent", None)
        if extent is None or not at_least_zero(factor):
            return False
        top = top + factor * (extent - 1)
    return at_least_zero(bound - 1 - top) is True


def _quotient_extent(value: Index, divisor: Dim) -> Dim:
    top: Dim = value.offset
    for atom, factor in value.terms:
        if at_least_zero(factor * -1) is not True:  # a negative term is largest where its variable is 0
            top = top + factor * (getattr(atom, "extent", UNBOUNDED) - 1)
    return top // divisor + 1
