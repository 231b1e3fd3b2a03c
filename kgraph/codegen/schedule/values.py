"""From values of a fused body to expressions: what one element is, in terms of elements of the inputs."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache
from typing import Any

import numpy as np

from kgraph.codegen.schedule.source import closed, condition_text, index_text, wrapping
from kgraph.graph.index import Apply, Choose, Condition, Floor, Index, Loop, Operand, Read, flatten
from kgraph.graph.ir import Graph, Node
from kgraph.graph.op import CURVE, OPS
from kgraph.graph.sizes import rename_axes
from kgraph.graph.types import FLOATS, HALF, TensorType, numpy_dtype

Place = tuple[str, tuple[Index, ...]]
ARGUMENTS_ONLY = re.compile(r"\w+\((\{\w+\}(\(\d+\))?(, )?)*\)")  # a template in which no operand needs parentheses
EXACT = frozenset(  # what these make of halves are halves
    ("maximum", "minimum", "where", "relu", "negative", "absolute", "sign", "floor", "ceil", "round", "trunc",
     "stop_gradient")
)  # fmt: skip
EXP_BELOW_LARGEST = "exp_of_negative({0})"
CALLED = re.compile(r"\w+(?=\()")
WRAPPING = ("add", "subtract", "multiply", "square")


@dataclass(frozen=True)
class Load:
    """An element of an input in memory; loops in the position have the graph's sizes, factors the kernel's."""

    parameter: str
    dtype: str
    position: Index


class Values:
    """Prints elements of a body's values. Shared ones become lines of `lets`; `known` are those already at hand.

    parameters: the identifier of each input; names: how the named axes are called in the kernel.
    """

    def __init__(self, body: Graph, parameters: Mapping[str, str], names: Mapping[str, str]) -> None:
        self.body, self.parameters, self.names = body, parameters, names
        self.lets: list[str] = []
        self.known: dict[Place, str] = {}
        self.loads: list[Index] = []  # every address read, and
        self.opaque: set[str] = set()  # loops used otherwise: schedules must not merge these
        self.plain: list[Load] = []  # what is read for certain, and
        self.staged: dict[Load, str] = {}  # where it has been put before
        self.stems: dict[str, str] = {}  # temporary -> the node it holds
        self._inline = 0

    def element(self, name: str, at: Sequence[Index]) -> str:
        """The expression of one element of a value."""
        place = (name, tuple(at))
        if place in self.known:
            return self.known[place]
        node = self.body[name]
        text = self.expression(node, list(at))
        if node.op not in ("input", "const") and self._is_shared(name) and not self._inline:
            text = self.let(name, text)
            self.known[place] = text
        return text

    def _is_shared(self, name: str) -> bool:
        """Whether an element is read more than once, storing it included."""
        readers = self.body.nx.out_degree(name)
        return readers > 1 or (readers == 1 and name in self.body.outputs)

    def let(self, name: str, text: str) -> str:
        """Give an expression a name of its own; returns that name."""
        temporary = f"t{len(self.stems)}"
        self.stems[temporary] = name
        self.lets.append(f"{temporary} = {text}")
        return temporary

    def taken(self) -> list[str]:
        """The lines collected so far; the next block starts with none, and with none of their names."""
        lines, self.lets = self.lets, []
        return lines

    def load(self, parameter: str, kind: TensorType, at: Sequence[Index]) -> str:
        """The element of an input in memory."""
        text = f"{parameter}[{self.address(kind, at)}]"
        if not self._inline:
            load = Load(parameter, kind.dtype, self.loads[-1])
            self.plain.append(load)
            text = self.staged.get(load, text)
        return loaded(text, kind.dtype)

    def address(self, kind: TensorType, at: Sequence[Index]) -> str:
        """The position in memory, in row-major order."""
        return self.position(flatten(at, kind.shape))

    def position(self, place: Index) -> str:
        """The text of a position in memory."""
        position = self._ready(place)
        self.loads.append(position)
        return index_text(position)

    def expression(self, node: Node, at: list[Index]) -> str:
        """The expression of one element of a node, whether it has a name already or not."""
        if node.op == "input":
            return self.load(self.parameters[node.name], node.tensor, at)
        if node.op == "const":
            return literal(node.attrs["value"])
        op, arguments = OPS[node.op], self.body.arguments(node.name)
        if op.kind == "move":
            operands = [Operand(slot, self.body[name].tensor) for slot, name in enumerate(arguments)]
            assert op.read is not None, f"{op.name} has no read"
            return self._moved(op.read(at, *operands, **node.attrs), arguments, node.tensor.dtype)
        assert op.kind == "map", f"{node.name}: a {op.kind} has no element expression of its own"
        source = self.body[arguments[0]] if node.op == "cast" else node
        if source.op == "size" and node.tensor.dtype in FLOATS:  # an int32 does not hold every count
            return f"{constructor(node.tensor.dtype)}({rename_axes(source.attrs['dim'], self.names)})"
        inputs = [self.element(name, broadcast_index(self.body[name].tensor, at)) for name in arguments]
        return self._scalar(node, inputs)

    def _scalar(self, node: Node, inputs: list[str]) -> str:
        arguments = self.body.arguments(node.name)
        first = self.body[arguments[0]].tensor.dtype if arguments else node.tensor.dtype
        attrs = {key: rename_axes(value, self.names) for key, value in node.attrs.items()}
        template = self._template(node, arguments, first)
        assert template is not None, f"{node.op} has no scalar expression"
        if node.op in WRAPPING:
            inputs = [wrapping(text, first) for text in inputs]
        if not ARGUMENTS_ONLY.fullmatch(template):
            inputs = list(map(closed, inputs))
        text = template.format(*inputs, T=constructor(node.tensor.dtype), A=constructor(first), **attrs)
        text = text if node.op in EXACT else rounded(text, node.tensor.dtype)
        kept = first == node.tensor.dtype and first not in FLOATS and node.op != "cast"
        return f"{constructor(first)}({text})" if kept else text  # numba's integers have 64 bits

    def _template(self, node: Node, arguments: list[str], dtype: str) -> str | None:
        """The scalar expression of a node. What is left of an element less the largest of its row is not above 0."""
        below = self.body[arguments[0]] if node.op == "exp" else node
        if below.op == "subtract" and below is not node:
            x, largest = (self.body[name] for name in self.body.arguments(below.name))
            if largest.op == "max" and largest.attrs["keepdims"] and self.body.arguments(largest.name) == [x.name]:
                return EXP_BELOW_LARGEST
        return OPS[node.op].scalar_of(dtype)

    def _moved(self, expression: Any, arguments: list[str], dtype: str) -> str:
        """What a row's `read` answered, as text; numbers in it are of this dtype."""
        if isinstance(expression, Read):
            return self.element(arguments[expression.slot], [self._inner(i, arguments) for i in expression.at])
        if isinstance(expression, Choose):
            self._inline += 1  # a branch not taken must not read
            condition = condition_text(self._ready(self._inner(expression.condition, arguments)))
            parts = [self._moved(part, arguments, dtype) for part in (expression.then, expression.other)]
            self._inline -= 1
            return f"{closed(parts[0])} if {condition} else {closed(parts[1])}"
        if isinstance(expression, Apply):
            parts = [closed(self._moved(part, arguments, dtype)) for part in expression.arguments]
            return expression.template.format(*parts, T=constructor(dtype))
        if isinstance(expression, Index):
            text = index_text(self._ready(self._inner(expression, arguments)))
            return rounded(f"{constructor(dtype)}({text})", dtype)
        return literal(np.asarray(expression, numpy_dtype(dtype)))

    def _inner(self, value: Any, arguments: list[str]) -> Any:
        """An index or condition whose atoms that are elements (indices read from memory) have become names."""
        if isinstance(value, Condition):
            return Condition(value.sign, tuple(self._inner(part, arguments) for part in value.parts))
        total = Index((), value.offset)
        for atom, factor in value.terms:
            total += self._atom(atom, arguments) * factor
        return total

    def _atom(self, atom: Any, arguments: list[str]) -> Index:
        if isinstance(atom, (Read, Choose, Apply)):
            text = self._moved(atom, arguments, "int64")
            return Index(((Loop(f"int64({text})", 1 << 62), 1),))
        if isinstance(atom, Floor):
            return Index(((replace(atom, value=self._inner(atom.value, arguments)), 1),))
        return Index(((atom, 1),))

    def _ready(self, value: Any) -> Any:
        """With the kernel's names for sizes; notes the loops that are used in other ways than as a stride."""
        if isinstance(value, Condition):
            for part in value.parts:
                if isinstance(part, Index):
                    self._mark(part)
            return Condition(value.sign, tuple(map(self._ready, value.parts)))
        for atom, _ in value.terms:
            if not isinstance(atom, Loop):
                self._mark(atom.value)
        terms = tuple((self._renamed(atom), rename_axes(factor, self.names)) for atom, factor in value.terms)
        return Index(terms, rename_axes(value.offset, self.names))

    def _renamed(self, atom: Any) -> Any:
        if isinstance(atom, Floor):
            return Floor(self._ready(atom.value), rename_axes(atom.divisor, self.names), atom.rest)
        return atom

    def _mark(self, value: Index) -> None:
        for atom, _ in value.terms:
            if isinstance(atom, Loop):
                self.opaque.add(atom.name)
            else:
                self._mark(atom.value)


def broadcast_index(kind: TensorType, at: Sequence[Index]) -> list[Index]:
    """The index into an operand of an elementwise op: 0 along the axes that it stretches."""
    own = at[len(at) - kind.rank :]
    return [Index() if size == 1 else one for size, one in zip(kind.shape, own, strict=True)]


def has_curves(lines: str) -> bool:
    """Whether lines of a kernel call a function that takes as long as exp."""
    return not _curves().isdisjoint(CALLED.findall(lines))


@cache
def _curves() -> frozenset[str]:
    scalars = [op.scalar for op in OPS.values() if op.scalar is not None and op.cost >= CURVE]
    return frozenset(CALLED.findall(" ".join([*scalars, EXP_BELOW_LARGEST])))


def constructor(dtype: str) -> str:
    """What makes a number of this dtype in generated code. Halves are held in float32."""
    return {"bool": "bool_", **dict.fromkeys(HALF, "float32")}.get(dtype, dtype)


def rounded(text: str, dtype: str) -> str:
    """An expression, of a half's dtype made one of its numbers."""
    return f"{dtype}({text})" if dtype in HALF else text


def loaded(text: str, dtype: str) -> str:
    """An element of memory as a number: booleans are bytes there, and halves 16 bits."""
    return f"({text} != 0)" if dtype == "bool" else f"from_{dtype}({text})" if dtype in HALF else text


def stored(text: str, dtype: str) -> str:
    """The expression as memory holds it."""
    if dtype in HALF:
        is_rounded = text.startswith(f"{dtype}(") and closed(text) == text
        return f"to_{text}" if is_rounded else f"to_{dtype}({text})"
    return f"uint8({text})" if dtype == "bool" else text


def literal(value: Any) -> str:
    """A number in generated code, with its dtype: Python's own floats would make everything float64."""
    value = np.asarray(value)
    if value.dtype == bool:
        return str(bool(value))
    number = value.item()
    kind = constructor(value.dtype.name)
    if isinstance(number, float) and not math.isfinite(number):
        return f"{kind}({'nan' if number != number else 'inf' if number > 0 else '-inf'})"
    return f"{kind}({number!r})"
