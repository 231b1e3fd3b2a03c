"""Sizes of axes: integers, or polynomials over named axes such as N (the batch) and T (a time axis)."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from itertools import count
from typing import Any

import numpy as np

from kgraph.errors import NotTracedError, ShapeError

Monomial = tuple["str | Quotient | Least", ...]
_assumed: ContextVar[list[tuple[Dim, Dim]] | None] = ContextVar("assumed", default=None)
_used: dict[str, count[int]] = {}


@dataclass(frozen=True)
class Quotient:
    """`value // divisor`, where the division does not come out even for every value."""

    value: Dim
    divisor: Dim

    def __str__(self) -> str:
        return f"(({self.value})//{_factor_text(self.divisor)})"


@dataclass(frozen=True)
class Least:
    """`min(value, 0)`: what is missing where a slice asks for more than there may be."""

    value: Dim

    def __str__(self) -> str:
        return f"min({self.value}, 0)"


@dataclass(frozen=True)
class Size:
    """A size known only at the call: a sum of products of named axes. Arithmetic keeps it in one normal form."""

    terms: tuple[tuple[Monomial, int], ...]

    def __add__(self, other: Dim) -> Dim:
        if not isinstance(other, (int, np.integer, Size)):
            return NotImplemented  # a symbol adds the size to itself
        return _size([*self.terms, *_terms(other)])

    def __mul__(self, other: Dim) -> Dim:
        if not isinstance(other, (int, np.integer, Size)):
            return NotImplemented
        return _size((_sorted(*a, *b), m * n) for a, m in self.terms for b, n in _terms(other))

    def __neg__(self) -> Dim:
        return self * -1

    def __sub__(self, other: Dim) -> Dim:
        return self + -other if isinstance(other, (int, np.integer, Size)) else NotImplemented

    def __rsub__(self, other: Dim) -> Dim:
        return -self + other if isinstance(other, (int, np.integer)) else NotImplemented

    __radd__ = __add__
    __rmul__ = __mul__

    def __floordiv__(self, divisor: Dim) -> Dim:
        if not isinstance(divisor, (int, np.integer, Size)):
            return NotImplemented
        exact = divide(self, divisor)
        return exact if exact is not None else Size((((Quotient(self, divisor),), 1),))

    def __rfloordiv__(self, value: int) -> Dim:
        return Size((((Quotient(value, self),), 1),))

    def __truediv__(self, other: object) -> Any:
        if isinstance(other, (int, float, np.number, Size)):
            raise NotTracedError(f"the size {self} is known only at the call: divide ops.cast(size, 'float32') instead")
        return NotImplemented

    def __rtruediv__(self, other: object) -> Any:
        return self.__truediv__(other)

    def __mod__(self, divisor: Dim) -> Dim:
        if not isinstance(divisor, (int, np.integer, Size)):
            return NotImplemented
        return self - self // divisor * divisor

    def __rmod__(self, value: int) -> Dim:
        return value - value // self * self

    def __str__(self) -> str:
        return " + ".join(_monomial_text(atoms, factor) for atoms, factor in self.terms).replace("+ -", "- ")

    def __repr__(self) -> str:
        return str(self)

    def __index__(self) -> int:
        raise NotTracedError(
            f"the size {self} is known only at the call and has no int(); kgraph.ops take it as it is: an array is cut "
            "at such a size by ops.slice(array, starts, shape), and Python's numbers come from ops.cast(size, dtype)"
        )

    __int__ = __index__

    def __lt__(self, other: object) -> bool:
        raise NotTracedError(f"the size {self} is known only at the call, so Python cannot branch on it")

    __le__ = __gt__ = __ge__ = __lt__

    @property
    def axes(self) -> frozenset[str]:
        """The named axes it depends on."""
        return frozenset(axis for atoms, _ in self.terms for atom in atoms for axis in _atom_axes(atom))


Dim = int | Size
Shape = tuple[Dim, ...]


def axis(name: str) -> Size:
    """The size of the axis called `name`."""
    return Size((((name,), 1),))


N = axis("N")


def fresh_axis(stem: str = "T") -> Size:
    """An axis that no other input has: T, then T_1, T_2, ..."""
    number = next(_used.setdefault(stem, count()))
    return axis(stem if number == 0 else f"{stem}_{number}")


def forget_axes() -> None:
    """Start numbering anew, as `clear_session` does."""
    _used.clear()


def product(shape: Iterable[Dim]) -> Dim:
    """The number of elements of a shape."""
    return math.prod(shape)


def shown(shape: Shape) -> str:
    """A shape in a message: (N, 3)."""
    return f"({', '.join(map(str, shape))}{',' if len(shape) == 1 else ''})"


def divide(value: Dim, divisor: Dim) -> Dim | None:
    """value / divisor where that is a size for every value of the axes, else None."""
    if isinstance(value, int) and isinstance(divisor, int):
        return value // divisor if divisor and value % divisor == 0 else None
    if value == divisor:
        return 1
    if isinstance(divisor, Size) and len(divisor.terms) > 1:
        return None
    atoms, factor = _terms(divisor)[0]
    quotients = []
    for have, number in _terms(value):
        rest = list(have)
        if number % factor or any(atom not in rest or rest.remove(atom) for atom in atoms):  # type: ignore[func-returns-value]
            return None
        quotients.append((tuple(rest), number // factor))
    return _size(quotients)


def minimum(a: Dim, b: Dim) -> Dim:
    """The smaller of two sizes."""
    if isinstance(a, int) and isinstance(b, int):
        return min(a, b)
    gap = a - b
    if at_least_zero(gap):
        return b
    if at_least_zero(-gap):
        return a
    if _terms(gap)[0][1] < 0:  # one spelling for min(a, b) and min(b, a), so that differences of them cancel
        return a + Size((((Least(-gap),), 1),))
    return b + Size((((Least(gap),), 1),))


def maximum(a: Dim, b: Dim) -> Dim:
    """The larger of two sizes."""
    return a + b - minimum(a, b)


def at_least_zero(value: Dim) -> bool | None:
    """Whether a difference of sizes is never negative (True), always (False), or known only at the call (None)."""
    terms = dict(_terms(value))
    least = next((atom for atoms in terms for atom in atoms if isinstance(atom, Least)), None)
    if least is None:
        signs = {factor >= 0 for factor in terms.values()}
        return True if signs == {True} else False if signs == {False} and () in terms else None
    factor = terms.get((least,))
    if factor is None:
        return None
    there = value - Size((((least,), factor),))  # the value where least.value >= 0, so that the minimum is 0
    missing = there + factor * least.value  # the value where least.value <= 0
    sure = at_least_zero(missing) or at_least_zero(missing + least.value)
    return True if sure and (at_least_zero(there) or at_least_zero(there - least.value)) else None


def assume_at_least_zero(value: Dim) -> None:
    """Note that a call must bring sizes with which this is not negative; raises ShapeError where none are."""
    known = at_least_zero(value)
    if known is False:
        raise ShapeError(f"{value} is negative")
    if known is None:
        unify(0, Size((((Least(value),), 1),)))


def resolve(value: Any, sizes: Mapping[str, int]) -> Any:
    """`value` with every Size in it, at any depth of tuples and lists, replaced by its number."""
    if isinstance(value, Size):
        return sum(factor * math.prod(_atom_value(atom, sizes) for atom in atoms) for atoms, factor in value.terms)
    if isinstance(value, (tuple, list)):
        return type(value)(resolve(item, sizes) for item in value)
    return value


def substitute(value: Any, sizes: Mapping[str, Dim]) -> Any:
    """`value` with these axes replaced by other sizes, and all others as they are."""
    return resolve(value, {name: axis(name) for name in axes_of(value)} | dict(sizes))  # type: ignore[arg-type]


def least(value: Dim) -> int:
    """A size in a call whose axes all have one element."""
    return resolve(value, dict.fromkeys(axes_of(value), 1))


def rename_axes(value: Any, names: Mapping[str, str]) -> Any:
    """`value` with its axes renamed, at any depth of tuples and lists."""
    if isinstance(value, Size):
        terms = ((tuple(_atom_renamed(atom, names) for atom in atoms), factor) for atoms, factor in value.terms)
        return _size((_sorted(*atoms), factor) for atoms, factor in terms)
    if isinstance(value, (tuple, list)):
        return type(value)(rename_axes(item, names) for item in value)
    return value


def axes_of(value: Any) -> frozenset[str]:
    """The named axes that a size, or a nest of tuples and lists of sizes, depends on."""
    if isinstance(value, Size):
        return value.axes
    if isinstance(value, (tuple, list)):
        return frozenset().union(*(axes_of(item) for item in value))
    return frozenset()


def unify(a: Dim, b: Dim) -> Dim:
    """The size that two axes share. Where one is known only at the call, equality is assumed, and checked then."""
    if a == b:
        return a
    if _never_zero(a - b):
        raise ShapeError(f"{a} is not {b}")
    found = _assumed.get()
    if found is not None:
        found.append((a, b))
    return a if isinstance(a, int) else b if isinstance(b, int) else a


def unmet(a: Dim, b: Dim, sizes: Mapping[str, int]) -> str:
    """What is wrong in a call with two sizes that `unify` assumed to be equal; empty where nothing is."""
    one, other = resolve(a, sizes), resolve(b, sizes)
    if one == other:
        return ""
    for atoms, _ in _terms(b - a):
        if a == 0 and len(atoms) == 1 and isinstance(atoms[0], Least):
            return _too_small(atoms[0].value, sizes)
    return f"{a} is {one} and {b} is {other}; they must be equal"


def _too_small(value: Dim, sizes: Mapping[str, int]) -> str:
    number = dict(_terms(value)).get((), 0)
    rest = value - number
    if all(factor < 0 for _, factor in _terms(rest)):
        return f"{-rest} must be at most {number}, and is {resolve(-rest, sizes)}"
    return f"{rest} must be at least {-number}, and is {resolve(rest, sizes)}"


@contextmanager
def assuming() -> Any:
    """Collect what `unify` assumes inside the block."""
    found: list[tuple[Dim, Dim]] = []
    token = _assumed.set(found)
    try:
        yield found
    finally:
        _assumed.reset(token)


def broadcast_shapes(*shapes: Shape) -> Shape:
    """The shape numpy's broadcasting gives; raises ShapeError where there is none."""
    rank = max(map(len, shapes), default=0)
    padded = [(1,) * (rank - len(shape)) + tuple(shape) for shape in shapes]
    result: list[Dim] = []
    for position, column in enumerate(zip(*padded, strict=True)):
        size: Dim = 1
        for item in column:
            if item != 1:
                try:
                    size = item if size == 1 else unify(size, item)
                except ShapeError:
                    text = " and ".join(map(shown, shapes))
                    raise ShapeError(f"shapes {text} do not broadcast: axis {position} is {size} and {item}") from None
        result.append(size)
    return tuple(result)


def _never_zero(gap: Dim) -> bool:
    """Whether two sizes with this difference are equal for no value of the axes, or only where they are empty."""
    plain = not any(isinstance(atom, Least) for atoms, _ in _terms(gap) for atom in atoms)
    return plain and len({factor > 0 for _, factor in _terms(gap)}) == 1


def _terms(value: Dim) -> tuple[tuple[Monomial, int], ...]:
    return value.terms if isinstance(value, Size) else (((), int(value)),)


def _size(terms: Iterable[tuple[Monomial, int]]) -> Dim:
    total: dict[Monomial, int] = {}
    for atoms, factor in terms:
        total[atoms] = total.get(atoms, 0) + factor
    kept = {atoms: factor for atoms, factor in total.items() if factor}
    if not kept or kept.keys() == {()}:
        return kept.get((), 0)
    return Size(tuple(sorted(kept.items(), key=lambda term: (-len(term[0]), list(map(str, term[0]))))))


def _sorted(*atoms: str | Quotient | Least) -> Monomial:
    return tuple(sorted(atoms, key=str))


def _monomial_text(atoms: Monomial, factor: int) -> str:
    parts = [str(factor)] * (factor != 1 or not atoms) + list(map(str, atoms))
    return "*".join(parts)


def _factor_text(value: Dim) -> str:
    return str(value) if isinstance(value, int) else f"({value})"


def _atom_axes(atom: str | Quotient | Least) -> frozenset[str]:
    if isinstance(atom, Least):
        return axes_of(atom.value)
    return axes_of((atom.value, atom.divisor)) if isinstance(atom, Quotient) else frozenset((atom,))


def _atom_value(atom: str | Quotient | Least, sizes: Mapping[str, int]) -> int:
    if isinstance(atom, Least):
        return minimum(resolve(atom.value, sizes), 0)  # type: ignore[return-value]
    if isinstance(atom, Quotient):
        return resolve(atom.value, sizes) // resolve(atom.divisor, sizes)
    return sizes[atom]


def _atom_renamed(atom: str | Quotient | Least, names: Mapping[str, str]) -> str | Quotient | Least:
    if isinstance(atom, Least):
        return Least(rename_axes(atom.value, names))
    if isinstance(atom, Quotient):
        return Quotient(rename_axes(atom.value, names), rename_axes(atom.divisor, names))
    return names.get(atom, atom)
