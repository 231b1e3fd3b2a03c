"""Replace patterns in a graph. Patterns and replacements are functions, written with the ops that layers use.

    Rule("log of softmax", match=lambda x, axes: log(softmax(x, axes)), make=lambda x, axes: log_softmax(x, axes))

The parameters of `match` are the wildcards. One used as an operand fits any value, and `make` gets a symbol that stands
for it, with its name (`stem`), type and attrs; one used as an attribute (axes above) fits any attribute, and `make`
gets the attribute. A number in a pattern fits a constant of any dtype and shape all of whose elements are that number.
"""

from __future__ import annotations

import inspect
import sys
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

import numpy as np

from kgraph import config
from kgraph.errors import KGraphError
from kgraph.graph.ir import GRADIENTS, LEAVES, Graph, Node
from kgraph.graph.op import OPS
from kgraph.graph.types import TensorType, numpy_dtype
from kgraph.tracing.trace import Symbol, as_symbol, insert, needed, record

MOST_STEPS_PER_NODE = 50
Log = Callable[[str], None]


def _told(line: str) -> None:
    """Print a line of the log where KGRAPH_SHOW=rules asks for it."""
    if "rules" in config.shown():
        print(f"# {line}", file=sys.stderr)


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


def rule(name: str, match: Any, make: Any, unless: Any = None) -> Rule:
    """A rule whose inner values may have other readers, for whom they stay."""
    return Rule(name, match, make, unless or _never, shared=True)


def one_of(bind: str, *functions: Callable[..., Any]) -> Callable[..., Symbol]:
    """A pattern that any of these ops fits; `make` gets the node found under the name `bind`."""
    names = tuple(function.__name__ for function in functions)

    def call(*args: Any, **attrs: Any) -> Symbol:
        return Symbol("one_of", tuple(map(as_symbol, args)), {"bind": bind, "ops": names, "attrs": attrs})

    return call


def row(name: str) -> Callable[..., Any]:
    """The op of this name, where the public function called so takes other arguments: row("sum")(x, axes=(0,))."""

    def call(*args: Any, **attrs: Any) -> Symbol:
        return record(OPS[name], args, attrs)

    call.__name__ = name
    return call


def number_of(x: Symbol) -> Any:
    """The number that `make` is given for a wildcard, where it is a constant of one element; else None."""
    value = x.attrs.get("value")
    return value.reshape(-1)[0].item() if isinstance(value, np.ndarray) and value.size == 1 else None


def again(node: Node) -> Callable[..., Symbol]:
    """The op of a node that `one_of` found, with its attributes, to be called on other values."""
    return lambda *args: record(OPS[node.op], args, node.attrs)


def rewrite(graph: Graph, rules: Sequence[Rule], log: Log = _told) -> Graph:
    """A new graph in which no rule fits any more.

    Nodes are tried from the outputs down, rules in their order, and commutative ops match both ways. Values inside a
    pattern must have no reader outside it, nor be results. The new node takes over name and origin of the old one; a
    replacement of another type than the old node's is not made. `log` is told which rules fired, and why one did not;
    KGRAPH_SHOW=rules prints that. RuntimeError: the rules do not settle.
    """
    return _Rewriter(graph.copy(), rules, log).run()


def substitute(graph: Graph, name: str, result: Symbol) -> list[str]:
    """Make a node, in place, the last step of an expression over references; returns the other nodes this adds.

    The node keeps name, origin and readers. What it read before stays in the graph.
    """
    names: dict[int, str] = {}
    added: list[str] = []
    node, order = graph[name], graph.nx.nodes[name]["order"]
    for part in needed(result.inputs):
        if part.op == "ref":
            names[part.serial] = part.stem
        else:
            stem = f"{name}/{part.stem or part.op}"
            added.append(insert(graph, replace(part, stem=stem, origin=node.origin), names))
            graph.nx.nodes[added[-1]]["order"] = order  # else everything else would come between it and its reader
    graph.nx.remove_edges_from(list(graph.nx.in_edges(name, keys=True)))
    graph.nx.add_edges_from((names[part.serial], name, slot) for slot, part in enumerate(result.inputs))
    graph.set(name, op=result.op, type=result.type, attrs=dict(result.attrs))
    graph.assumed += [(a, b, name) for a, b in result.assumed]
    return [one for one in added if graph[one].op not in LEAVES]


def stand_in(graph: Graph, old: str, new: str) -> str:
    """Let every reader of a node read another instead; returns the name of that one.

    A value that was a result keeps its name, where the other is no result itself: readers of the graph look for it.
    """
    results = graph.results
    graph.redirect(old, new)
    if old not in results or new in results or graph[new].op in LEAVES:
        return new
    graph.nx.remove_node(old)
    graph.rename(new, old)
    return old


@dataclass
class _Rewriter:
    """A graph under rewriting, and the nodes that a rule may fit."""

    graph: Graph
    rules: Sequence[Rule]
    log: Log
    queue: deque[str] = field(default_factory=deque)
    queued: set[str] = field(default_factory=set)
    numbers: dict[Node, Any] = field(default_factory=dict)

    def run(self) -> Graph:
        table: dict[str, list[Rule]] = {}
        for rule in self.rules:
            for op in rule.roots:
                table.setdefault(op, []).append(rule)
        self.depth = max((rule.depth for rule in self.rules), default=0)
        self.results = set(self.graph.results)
        self.push(node.name for node in reversed(list(self.graph)))
        fired: deque[str] = deque(maxlen=20)
        budget = MOST_STEPS_PER_NODE * (len(self.graph) + 20)
        while self.queue:
            name = self.queue.popleft()
            self.queued.discard(name)
            if name not in self.graph:
                continue
            done = next((rule for rule in table.get(self.graph[name].op, ()) if self.fire(rule, name)), None)
            if done is not None:
                fired.append(done.name)
                budget -= 1
                if budget < 0:
                    raise RuntimeError(f"the rules {', '.join(map(repr, dict.fromkeys(fired)))} do not settle")
        return self.graph

    def push(self, names: Iterable[str]) -> None:
        for name in names:
            if name not in self.queued:
                self.queued.add(name)
                self.queue.append(name)

    # matching ----------------------------------------------------------------------------------------------------

    def fire(self, rule: Rule, name: str) -> bool:
        """Replace the node, if the rule fits it and may."""
        for bound in self.fits(((rule.pattern, name),), {}):
            if self.read_elsewhere(rule.pattern, bound, rule.shared):
                continue
            values = self.values(rule.pattern, bound)
            if reason := rule.call(rule.unless, values):
                self.log(f"{rule.name}: not at {name}, {reason}")
                continue
            if self.put(rule, name, self.made(rule, name, values)):
                return True
        return False

    def fits(self, todo: tuple[tuple[Symbol, str], ...], bound: dict[Any, Any]) -> Iterator[dict[Any, Any]]:
        """The ways in which pattern and graph agree: the serial of each symbol of the pattern -> a node's name."""
        if not todo:
            yield bound
            return
        (goal, have), rest = todo[0], todo[1:]
        if goal.serial in bound:
            if bound[goal.serial] == have:
                yield from self.fits(rest, bound)
            return
        bound = {**bound, goal.serial: have}
        if goal.op == "const":
            if self.number(have) == goal.attrs["value"]:
                yield from self.fits(rest, bound)
        elif goal.op == "hole":
            yield from self.fits(rest, bound)
        elif _same_op(goal, self.graph[have], bound):
            for order in self.orders(have, len(goal.inputs)):
                yield from self.fits((*zip(goal.inputs, order, strict=True), *rest), bound)

    def orders(self, name: str, count: int) -> list[list[str]]:
        """The orders in which a node's arguments may stand; none where there are not as many as wanted."""
        sources = self.graph.arguments(name)
        if len(sources) != count:
            return []
        commutes = self.graph[name].op in OPS and OPS[self.graph[name].op].commutes
        return [sources, sources[::-1]] if commutes and len(set(sources)) > 1 else [sources]

    def number(self, name: str) -> Any:
        """The number that all elements of a constant are, or None."""
        node = self.graph[name]
        if node.op in ("broadcast_to", "reshape", "transpose"):
            return self.number(self.graph.arguments(name)[0])
        if node.op != "const":
            return None
        if node not in self.numbers:
            flat = np.reshape(node.attrs["value"], -1)
            self.numbers[node] = flat[0] if flat.size and (flat == flat[0]).all() else None
        return self.numbers[node]

    def read_elsewhere(self, pattern: Symbol, bound: Mapping[Any, Any], shared: bool) -> bool:
        """Whether a value inside the match has a reader outside it, or is a result.

        With `shared` it may, unless gradients with respect to it are wanted: these would find no way through it.
        """
        inside = {bound[symbol.serial] for symbol in needed([pattern]) if symbol.op not in ("hole", "const")}
        inner = inside - {bound[pattern.serial]}
        readers = {name: set(self.graph.nx.successors(name)) for name in inner}
        if shared:
            return any(self.graph[one].op == GRADIENTS for found in readers.values() for one in found)
        return any(name in self.results or not inside.issuperset(readers[name]) for name in inner)

    def values(self, pattern: Symbol, bound: Mapping[Any, Any]) -> dict[str, Any]:
        """What `make` is given."""
        found = {key: value for key, value in bound.items() if isinstance(key, str)}
        for symbol in needed([pattern]):
            if symbol.op == "hole":
                node = self.graph[bound[symbol.serial]]
                found[symbol.stem] = Symbol("ref", (), node.attrs, node.type, node.name)
        return found

    # replacing ---------------------------------------------------------------------------------------------------

    def made(self, rule: Rule, name: str, values: Mapping[str, Any]) -> Symbol:
        """The replacement; a number stands for a constant of the node's type."""
        kind = self.graph[name].tensor
        try:
            result = rule.call(rule.make, values)
            if not isinstance(result, Symbol):
                result = as_symbol(np.asarray(result, numpy_dtype(kind.dtype)))
                if result.type.shape != kind.shape:
                    result = record(OPS["broadcast_to"], (result,), {"shape": kind.shape})
        except KGraphError as error:
            error.add_note(f"  in the rule {rule.name!r}, at {name}")
            raise
        return result

    def put(self, rule: Rule, name: str, result: Symbol) -> bool:
        """Put the replacement where the node was; False where it would change its type or nothing."""
        kind: TensorType = self.graph[name].tensor
        if result.type != kind or (result.op == "ref" and result.stem == name):
            if result.type != kind:
                self.log(f"{rule.name}: not at {name}, it would make a {result.type} of a {kind}")
            return False
        sources, changed = self.graph.arguments(name), [name]
        if result.op == "ref":
            changed = list(self.graph.nx.successors(name))
            changed.append(stand_in(self.graph, name, result.stem))
            self.results = set(self.graph.results)
            sources = sources if changed[-1] == name else [name]
        else:
            changed += substitute(self.graph, name, result)
        self.touch([*changed, *self.drop(sources)])
        self.log(f"{rule.name}: at {name}")
        return True

    def drop(self, names: list[str]) -> list[str]:
        """Remove those of the nodes that nobody reads, and what only they read; returns who is an only reader now."""
        lonely = []
        while names:
            name = names.pop()
            if name not in self.graph or self.graph[name].op == "input" or name in self.results:
                continue
            readers = list(self.graph.nx.successors(name))
            if not readers:
                names += self.graph.nx.predecessors(name)
                self.graph.nx.remove_node(name)
            elif len(readers) == 1 and self.graph[name].op not in LEAVES:
                lonely += readers
        return lonely

    def touch(self, names: list[str]) -> None:
        """Try the nodes again whose pattern may reach down to these."""
        seen: set[str] = set()
        for _ in range(self.depth + 1):
            names = [name for name in dict.fromkeys(names) if name in self.graph and name not in seen]
            seen.update(names)
            self.push(names)
            names = [reader for name in names for reader in self.graph.nx.successors(name)]


def _same_op(goal: Symbol, node: Node, bound: dict[Any, Any]) -> bool:
    """Whether the node is of the pattern's op and has its attributes; notes what they bind."""
    wanted = goal.attrs
    if goal.op == "one_of":
        if node.op not in wanted["ops"]:
            return False
        bound[wanted["bind"]] = node
        wanted = wanted["attrs"]
    elif node.op != goal.op:
        return False
    return all(key in node.attrs and _same(value, node.attrs[key], bound) for key, value in wanted.items())


def _same(want: Any, have: Any, bound: dict[Any, Any]) -> bool:
    if isinstance(want, Symbol):
        return bool(bound.setdefault(want.stem, have) == have)
    if isinstance(want, tuple) and isinstance(have, tuple):
        return len(want) == len(have) and all(_same(a, b, bound) for a, b in zip(want, have, strict=True))
    return bool(want == have)
