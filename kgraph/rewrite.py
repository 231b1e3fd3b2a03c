"""Replace patterns in a graph. Patterns and replacements are functions, written with the ops that layers use.

    Rule("log of softmax", match=lambda x, axes: log(softmax(x, axes)), make=lambda x, axes: log_softmax(x, axes))

The parameters of `match` are the wildcards. One used as an operand fits any value, and `make` gets a symbol that stands
for it, with its name (`stem`), type and attrs; one used as an attribute (axes above) fits any attribute, and `make`
gets the attribute. A number in a pattern fits a constant of any dtype and shape all of whose elements are that number.
"""

from __future__ import annotations

import inspect
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

import numpy as np

from kgraph.errors import KGraphError
from kgraph.ir import LEAVES, Graph, Node
from kgraph.op import OPS
from kgraph.trace import Symbol, as_symbol, insert, needed, record
from kgraph.types import TensorType, numpy_dtype

MOST_STEPS_PER_NODE = 50
Log = Callable[[str], None]


def _silent(line: str) -> None:
    """Drop a line of the log."""


def _never(**_: Any) -> Any:
    """No reason to leave a place alone."""


@dataclass(frozen=True)
class Rule:
    """Where `match` is found, put `make`, unless `unless` gives a reason not to.

    make and unless are given what match's parameters and one_of's names are bound to, as far as they have parameters
    of these names. With shared=True the values inside the pattern may have readers outside it; they stay for those.
    """

    name: str
    match: Callable[..., Any]
    make: Callable[..., Any]
    unless: Callable[..., Any] = _never
    shared: bool = False

    @cached_property
    def pattern(self) -> Symbol:
        """What `match` makes of holes."""
        holes = [Symbol("hole", stem=name) for name in inspect.signature(self.match).parameters]
        return self.match(*holes)

    @cached_property
    def roots(self) -> tuple[str, ...]:
        """The ops whose nodes the rule may replace."""
        root = self.pattern
        return root.attrs["ops"] if root.op == "one_of" else (root.op,)

    @cached_property
    def depth(self) -> int:
        """How far above its deepest value the root of the pattern is."""
        heights: dict[int, int] = {}
        for symbol in needed([self.pattern]):
            heights[symbol.serial] = 1 + max((heights[source.serial] for source in symbol.inputs), default=-1)
        return heights[self.pattern.serial]

    def call(self, function: Callable[..., Any], bound: Mapping[str, Any]) -> Any:
        """Call make or unless with what its parameters name."""
        return function(**{name: bound[name] for name in self._parameters(function) if name in bound})

    def _parameters(self, function: Callable[..., Any]) -> tuple[str, ...]:
        known = self.__dict__.setdefault("_known", {})
        if function not in known:
            known[function] = tuple(inspect.signature(function).parameters)
        return known[function]


def one_of(bind: str, *functions: Callable[..., Any]) -> Callable[..., Symbol]:
    """A pattern that any of these ops fits; `make` gets the node found under the name `bind`."""
    names = tuple(function.__name__ for function in functions)

    def call(*args: Any, **attrs: Any) -> Symbol:
        return Symbol("one_of", tuple(map(as_symbol, args)), {"bind": bind, "ops": names, "attrs": attrs})

    return call


def again(node: Node) -> Callable[..., Symbol]:
    """The op of a node that `one_of` found, with its attributes, to be called on other values."""
    return lambda *args: record(OPS[node.op], args, node.attrs)
