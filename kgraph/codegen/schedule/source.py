"""Python text under construction, and the small grammar of expressions in it."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from kgraph.codegen.schedule.kernel import Accumulator, Store
from kgraph.graph.index import Condition, Index, Loop
from kgraph.graph.sizes import Dim
from kgraph.graph.types import FLOATS

ATOM = re.compile(r"-?[\w.]+(\(\))?")
SUMS = ("{0} + {1}", "{0} * {1}")
_KNOWN = r"(?:n|count)?\d+"
_SUM = rf"(?:{_KNOWN}(?: ?[-+*] ?{_KNOWN})*|\({_KNOWN}(?: ?[-+*] ?{_KNOWN})*\))"
QUOTIENT = re.compile(rf"\({_SUM}//{_SUM}\)")  # of sizes, without another one in it
ENCLOSED = re.compile(r"(?<!\w)\((count\d+)\)")


class Source:
    """Lines at a depth; `with source.block("for ..."):` goes one deeper."""

    def __init__(self) -> None:
        self._lines: list[str] = []
        self._depth = 0

    def __call__(self, *lines: str) -> None:
        self._lines += ["    " * self._depth + line for line in lines]

    @contextmanager
    def block(self, head: str) -> Iterator[None]:
        """Open a block; head ends in a colon."""
        self(head)
        self._depth += 1
        yield
        self._depth -= 1

    @contextmanager
    def loops(self, loops: list[Loop]) -> Iterator[None]:
        """Open a nest of plain loops."""
        for loop in loops:
            self(f"for {loop.name} in range({loop.extent}):")
            self._depth += 1
        yield
        self._depth -= len(loops)

    def __str__(self) -> str:
        return "\n".join(self._lines) + "\n"


def counted(text: str) -> str:
    """A kernel in which quotients of sizes that stand in several places have names, and are computed ahead."""
    head, body = text.split("\n", 1)
    lines: list[str] = []
    while several := [one for one, times in Counter(QUOTIENT.findall(body)).items() if times > 1]:
        for one in several:
            lines.append(f"    count{len(lines)} = {one[1:-1]}")
            body = body.replace(one, f"count{len(lines) - 1}")
        while body != (body := ENCLOSED.sub(r"\1", body)):
            pass
    return "\n".join([head, *lines, body])


def closed(expression: str) -> str:
    """The expression in parentheses, unless it is a name, a number, a call or an element already."""
    return expression if ATOM.fullmatch(expression) or _is_one_call(expression) else f"({expression})"


def size_text(size: Dim) -> str:
    """A size as a factor in an expression."""
    return closed(str(size))


def index_text(index: Index) -> str:
    """An affine index as Python; atoms that are not loops have been turned into loops by name before."""
    parts = [_term_text(atom, factor) for atom, factor in index.terms]
    if index.offset != 0 or not parts:
        parts.append(str(index.offset))
    return " + ".join(parts).replace("+ -", "- ")


def condition_text(condition: Condition) -> str:
    """A comparison of indices as Python."""
    if condition.sign == "and":
        return " and ".join(condition_text(part) for part in condition.parts)
    left, right = map(index_text, condition.parts)
    return f"{left} {condition.sign} {right}"


def digits(position: str, loops: Sequence[Loop]) -> list[str]:
    """Statements that take a position apart into loop variables, the last one running fastest."""
    lines, step = [], 1  # type: tuple[list[str], Dim]
    for number, loop in reversed(list(enumerate(loops))):
        part = f"{position} // {size_text(step)}" if step != 1 else position
        lines.append(f"{loop.name} = {part}" if number == 0 else f"{loop.name} = {part} % {size_text(loop.extent)}")
        step = step * loop.extent
    return lines[::-1]


def wrapping(operand: str, dtype: str) -> str:
    """An operand of a sum, a difference or a product: these wrap around as numpy's do, where LLVM would take for
    granted that those of int64 fit, and conclude from x + 1 that it is more than x."""
    return f"uint64({operand})" if dtype == "int64" else operand


def combined(one: Accumulator, held: str) -> str:
    """The accumulator with one more element; integers stay as narrow as they are, where numba would widen them."""
    parts = [held, one.value]
    if one.combine in SUMS:
        parts = [wrapping(part, one.dtype) for part in parts]
    text = one.combine.format(*map(closed, parts))
    return text if one.dtype in ("bool", *FLOATS) else f"{one.dtype}({text})"


def write(text: Source, *stores: Store) -> None:
    """Stores, one after the other."""
    text(*(f"{store.target}[{store.address}] = {store.value}" for store in stores))


def strips(extent: Dim, width: Dim) -> Dim:
    """How many strips of this width cover the extent."""
    return (extent + (width - 1)) // width


def terms(loops: Sequence[Loop], strides: Sequence[Dim]) -> list[tuple[str, Dim]]:
    """Loop variables with their strides."""
    return [(loop.name, stride) for loop, stride in zip(loops, strides, strict=True)]


def sum_text(parts: Sequence[tuple[str, Dim]]) -> str:
    """A sum of loop variables times strides."""
    shown = [name if stride == 1 else f"{name} * {size_text(stride)}" for name, stride in parts if stride != 0]
    return " + ".join(shown) or "0"


def inner_steps(loops: Sequence[Loop], last: Dim) -> list[Dim]:
    """The steps, in a panel, of each of the summed axes."""
    steps: list[Dim] = []
    for loop in reversed(loops):
        steps.append(last)
        last = last * loop.extent
    return steps[::-1]


def walked(loops: Sequence[Loop]) -> str:
    """The position in row-major order over these loops; those of extent 1 are not there."""
    parts = terms(loops, inner_steps(loops, 1))
    return closed(sum_text([(name, step) for (name, step), loop in zip(parts, loops, strict=True) if loop.extent != 1]))


def _term_text(atom: object, factor: Dim) -> str:
    name = _atom_text(atom)
    if factor == 1:
        return name
    return f"-{name}" if factor == -1 else f"{name} * {size_text(factor)}"


def _atom_text(atom: object) -> str:
    if isinstance(atom, Loop):
        return atom.name
    sign = "%" if atom.rest else "//"  # type: ignore[attr-defined]
    return f"({closed(index_text(atom.value))} {sign} {size_text(atom.divisor)})"  # type: ignore[attr-defined]


def _is_one_call(expression: str) -> bool:
    head = re.match(r"[\w.]+([(\[])", expression)
    if not head or expression[-1] not in ")]":
        return False
    depth = 0
    for position in range(head.end() - 1, len(expression)):
        depth += (expression[position] in "([") - (expression[position] in ")]")
        if depth == 0:
            return position == len(expression) - 1
    return False
