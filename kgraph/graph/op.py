"""The table of operations: all that kgraph knows of one stands in one row."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from kgraph.graph.types import is_float, promote

OPS: dict[str, Op] = {}
INDICES = {"take": 1, "take_along_axis": 1, "scatter_add": 1, "scatter_set": 1}  # arguments looked at before a kernel
DIVISION, LOOKUP, CURVE = 3, 10, 20  # costs: of a quotient or root, of an address in memory, of exp and its like
FUNCTIONS: dict[str, Callable[..., Any]] = {}  # public names: the rows, and what is composed of them


def as_they_are(*dtypes: str) -> Sequence[str]:
    """Operands keep their dtypes."""
    return tuple(promote(dtype) for dtype in dtypes)


def common(*dtypes: str) -> Sequence[str]:
    """Operands meet in one dtype: add, maximum, concatenate."""
    return (promote(*dtypes),) * len(dtypes)


def common_float(*dtypes: str) -> Sequence[str]:
    """Operands meet in one floating dtype: exp, divide."""
    met = promote(*dtypes)
    return (met if is_float(met) else promote(met, "float"),) * len(dtypes)


def common_after_first(first: str, *rest: str) -> Sequence[str]:
    """The first operand is a condition; the others meet."""
    return ("bool", *common(*rest))


@dataclass(frozen=True, kw_only=True)
class Op:
    """All that kgraph knows of one operation. To add an op is to write one of these.

    kind is the loop nest that runs it, written once per target in codegen:
      map       one element out of one element of each input: `scalar` is the expression
      move      one element out of inputs at other indices: `read` says where it comes from
      reduce    many elements into one: `initial`, `combine` and, where elements change first, `scalar`
      contract  a sum of products over named axes
      cumulate  a running reduction along one axis
      sort      the positions of the elements of each row in the order of these
      scatter   elements added or written at given places
      loop      a body run again and again, or one of two bodies: a plan of its own
      compose   none of its own: once gradients are there, the pass `open` puts `opened` in its place
    """

    name: str
    kind: str
    type: Callable[..., Any]  # (*argument types, **attrs) -> result type; raises ShapeError; of a loop a tuple
    numpy: Callable[..., Any]  # the meaning: (*arrays, **attrs); runs eager calls, folds constants, judges kernels
    vjp: Callable[..., tuple[Any, ...]] | None = None  # (g, y, *xs, **attrs) -> a gradient or None for each x
    scalar: str | None = None  # "exp({0})"; {T} is the constructor of the dtype, {alpha} an attribute
    scalar_of_integers: str | None = None  # what stands in its place where the first operand is an integer
    read: Callable[..., Any] | None = None  # move: (index, *operands, **attrs) -> an expression of kgraph.index
    initial: str | None = None  # reduce, cumulate: the value before the first element
    combine: str | None = None  # reduce, cumulate, scatter: "{0} + {1}"
    opened: Callable[..., Any] | None = None  # compose: (*xs, **attrs) -> the same value, written with other rows
    casts: Callable[..., Sequence[str]] = as_they_are  # dtypes of the arguments -> the dtypes they are cast to
    commutes: bool = False
    cost: int = 1  # map, move: what one element takes beside its operands, in additions, about

    def scalar_of(self, dtype: str) -> str | None:
        """`scalar` for a first operand of this dtype."""
        return self.scalar if is_float(dtype) or self.scalar_of_integers is None else self.scalar_of_integers
