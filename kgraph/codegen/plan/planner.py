"""From a fused graph to a plan: which kernels run in which order, on which memory, and what lives how long."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from kgraph.codegen.plan.cut import cut_forward, cut_of_loop
from kgraph.codegen.plan.given import has_open_sizes, lookups
from kgraph.codegen.plan.in_place import in_place, overlaid
from kgraph.codegen.plan.results import stored_by, types_of, viewed, with_results_of_their_own
from kgraph.codegen.plan.steps import Buffer, Carried, Loop, Plan, Slice, Step, says_as_much
from kgraph.codegen.schedule.choice import contracts_alone, schedule
from kgraph.codegen.schedule.contraction import Contraction, Panels, Tile, operands_of
from kgraph.codegen.schedule.joined import Part, copying, parts_of, placed, within, writers
from kgraph.codegen.schedule.kernel import Kernel, Merge
from kgraph.codegen.schedule.ordered import TEAM, by_place, checking, sorting
from kgraph.codegen.schedule.parts import Combined, in_parts
from kgraph.codegen.schedule.task import Task, body_of, generic, task_of
from kgraph.codegen.schedule.variants import GIVEN, OPERANDS, PRODUCTS, Variant, unless_few, variants
from kgraph.errors import DTypeError
from kgraph.graph.ir import LEAVES, Graph, Node
from kgraph.graph.loop import Parts
from kgraph.graph.op import OPS
from kgraph.graph.sizes import substitute
from kgraph.graph.types import HALF, UNSIGNED, TensorType, numpy_dtype

ADDING_UP = ("reduce", "cumulate", "scatter")  # kinds of ops that halves have no room for


def plan(graph: Graph, tile: Tile | None, threads: int = 1) -> Plan:
    """The plan of a fused graph. tile: how large the target's tiles are, None where it packs none.

    threads: for how many; that decides how fast results are computed, and never a bit of them.
    DTypeError: a value is of half precision where kernels with such tiles, or an op that adds up, cannot take it.
    """
    _check_halves(graph, tile is not None)
    graph, copies = with_results_of_their_own(graph)
    made = Plan(graph)
    if tile is not None:
        made.alias |= in_place(graph)
    results = copies | {viewed(graph, name) for name in graph.results if name not in copies}
    planner = _Planner(made, graph, tile, dict.fromkeys(results, "result"), copies, threads)
    planner.run()
    made.steps = cut_forward(made, planner.steps, planner.at) if tile is not None else planner.steps
    return made


@dataclass
class _Planner:
    """The part of a plan that one graph is: the whole, or the body of a loop."""

    made: Plan
    graph: Graph
    tile: Tile | None
    places: dict[str, str]  # where values lie that are results
    copies: set[str]  # the nodes that copy, though they look like views
    threads: int
    scope: str = ""  # before the names of the graph, in names of buffers
    names: dict[str, str] = field(default_factory=dict)  # values that lie in buffers of the graph around
    static: set[str] = field(default_factory=set)  # made from weights and constants alone
    parts: dict[str, tuple[Part, int]] = field(default_factory=dict)  # values made in a part of a concatenation
    copied: dict[str, list[Part]] = field(default_factory=dict)  # by concatenation: operands that are copied
    steps: list[Step | Loop] = field(default_factory=list)
    outer: _Planner | None = None  # of the graph around

    def run(self) -> None:
        """Find memory for every value, and the steps that compute them."""
        graph, made = self.graph, self.made
        self._find_static()
        self._find_parts()
        for node in graph:
            name = self.scope + node.name
            if name in made.alias or node.name in self.names or not isinstance(node.type, TensorType):
                continue
            if self._is_view(node):
                made.alias[name] = self.at(graph.arguments(node.name)[0])
                continue
            made.buffers[name] = Buffer(name, node.tensor.dtype, node.tensor.size, self._place(node))
            if node.op == "const":
                made.constants[name] = np.ascontiguousarray(node.attrs["value"], numpy_dtype(node.tensor.dtype))
        for node in graph:
            if node.name in self.names or node.op in LEAVES or node.op == "item":
                continue
            if node.op == "loop":
                self._add_loop(node)
            elif node.op == "cond":
                self._add_branches(node)
            elif node.name in self.copied:
                self._add_copies(node)
            elif not self._is_view(node):
                self._add_steps(node)

    def _is_view(self, node: Node) -> bool:
        return node.op == "reshape" and node.name not in self.copies

    def at(self, name: str) -> str:
        """The name of the buffer in which a value of the graph lies."""
        return self.made.root(self.names.get(name, self.scope + name))

    def _stored(self, node: Node) -> list[str]:
        return [self.at(name) for name in stored_by(self.graph, node)]

    def _place(self, node: Node) -> str:
        if node.name in self.places:
            return self.places[node.name]
        if node.op in LEAVES:
            return node.op
        return "prepared" if node.name in self.static else "arena"

    def _find_static(self) -> None:
        """Find the values made from weights and constants alone, of a size that is known."""
        graph, static = self.graph, self.static
        for node in graph:
            arguments = graph.arguments(node.name)
            inherits = bool(arguments) and all(name in static for name in arguments)
            inherits = inherits and not has_open_sizes(node)
            inherits = inherits and not _is_loop(node)
            inherits = inherits and not any(lookups(graph, node))  # indices are checked in each call, before reading
            inherits = inherits and not any(name in self.places for name in stored_by(graph, node))  # filled by calls
            if (node.op in ("param", "const") and node.name not in graph.updates) or inherits:
                static.add(node.name)

    # concatenations -----------------------------------------------------------------------------------------------

    def _find_parts(self) -> None:
        """Find what is written where a concatenation wants it, and what is copied there."""
        for node in reversed(list(self.graph)):
            if node.op != "concatenate" or node.name in self.copied or node.name in self.names:
                continue
            found: list[Part] = []
            before = len(self.made.alias)
            for part in parts_of(self.graph, node):
                self._settle(part, found)
            if self.tile is not None or len(self.made.alias) > before:  # else a GPU copies all of them at once
                self.copied[node.name] = found

    def _settle(self, part: Part, found: list[Part]) -> None:
        graph, made = self.graph, self.made
        chain, leading = writers(graph, part, {*self.copies, *self.places, *self.names})
        if not chain or (chain[-1] in self.static) != (self._place(graph[part.whole]) == "prepared"):
            found.append(part)
            return
        made.alias.update((self.scope + name, self.scope + part.whole) for name in chain)
        if graph[chain[-1]].op == "concatenate":
            self.copied[chain[-1]] = []
            for one in within(part, graph):
                self._settle(one, found)
        else:
            self.parts[chain[-1]] = part, leading

    def _add_copies(self, node: Node) -> None:
        made = self.made
        for part in self.copied[node.name]:
            buffers = self.at(part.name), self.at(node.name)
            task = copying(node.tensor, part)
            steps = made.prepare if made.buffers[buffers[1]].place == "prepared" else self.steps
            kernel = schedule(task, self.tile, [False])
            assert isinstance(kernel, Kernel)
            steps.append(Step(kernel, buffers, task.sizes, node.name, graph=self.graph))

    # kernels ------------------------------------------------------------------------------------------------------

    def _add_steps(self, node: Node) -> None:
        graph, made = self.graph, self.made
        task, sources = task_of(graph, node)
        outs = self._stored(node)
        buffers = [self.at(name) for name in sources] + outs
        steps = made.prepare if made.buffers[outs[0]].place == "prepared" else self.steps
        self._add_checks(node)
        if self.tile is not None and contracts_alone(task):
            task = replace(generic(task), threads=self.threads)
        for number, name in enumerate(stored_by(graph, node)):
            if name in self.parts:
                task = placed(task, *self.parts[name], number)
        static = [name in self.static for name in sources]
        kernel = schedule(task, self.tile, static)
        if isinstance(kernel, Contraction):
            assert self.tile is not None
            more: list[Variant] = []
            if self.outer is None:  # what a loop reads again and again is packed once
                kernel, more = unless_few(task, kernel, self.tile, static)
            ways = [*variants(task, kernel, self.tile, static), *more]
            steps += list(self._contracted(node, task, kernel, buffers, sources, ways))
        elif self.tile is not None and steps is self.steps and (cut := in_parts(kernel)) is not None:
            steps += self._in_parts(node, cut, buffers, task)  # type: ignore[operator]
        elif self.tile is not None and self.threads >= TEAM and (apart := by_place(task, kernel)) is not None:
            buffers += self._sorted(node, sources, steps)
            steps.append(Step(apart, tuple(buffers), task.sizes, node.name, graph=graph))
        else:
            if isinstance(kernel.schedule, Merge):
                buffers.append(self._room(node, made.buffers[outs[0]]))
            read = dict(zip(buffers, task.inputs, strict=False))
            over = {one.name: read[out] for one, out in zip(task.outs, outs, strict=True) if out in read}
            kernel = overlaid(kernel, over)
            steps.append(Step(kernel, tuple(buffers), task.sizes, node.name, graph=graph))

    def _in_parts(self, node: Node, cut: Combined, buffers: list[str], task: Task) -> Iterator[Step]:
        """Both steps of a long reduction, with memory for what the parts come to."""
        known = dict(zip(task.names.values(), task.sizes, strict=True))
        for number, (partial, elements) in enumerate(cut.partials):
            name = f"{self.scope}{node.name}:part{number}"
            self.made.buffers[name] = Buffer(name, partial.dtype, substitute(elements, known), "arena")
            buffers.append(name)
        for is_total, kernel in enumerate((cut.parts, cut.total)):
            yield Step(kernel, tuple(buffers), (*task.sizes, is_total), node.name, graph=self.graph)

    def _room(self, node: Node, result: Buffer) -> str:
        """As much memory again as the result has, for the kernel that makes it."""
        name = f"{self.scope}{node.name}:spare"
        place = "prepared" if result.place == "prepared" else "arena"
        self.made.buffers[name] = Buffer(name, result.dtype, result.elements, place)
        return name

    def _sorted(self, node: Node, sources: Sequence[str], steps: list[Any]) -> list[str]:
        """The buffers with the indices of a scatter in the order of the places they point to, made by a step before."""
        body, _ = body_of(self.graph, node)
        scatter = body[body.outputs[0]]
        name = sources[body.inputs.index(body.arguments(scatter.name)[1])]
        kind, size = self.graph[name].tensor, scatter.tensor.shape[scatter.attrs["axis"]]
        kernel, sizes = sorting(kind, size)
        read = self.at(name)
        for step in steps:
            if isinstance(step, Step) and (step.kernel, step.sizes, step.buffers[0]) == (kernel, sizes, read):
                return list(step.buffers[1:])
        place = "prepared" if steps is self.made.prepare else "arena"
        buffers = [f"{self.scope}{node.name}:ends", f"{self.scope}{node.name}:order"]
        for one, elements in zip(buffers, (size, kind.size), strict=True):
            self.made.buffers[one] = Buffer(one, "int32", elements, place)
        steps.append(Step(kernel, (read, *buffers), sizes, buffers[1], graph=self.graph))
        return buffers

    def _contracted(
        self, node: Node, task: Task, found: Contraction, buffers: list[str], sources: list[str],
        ways: Sequence[Variant],
    ) -> Iterator[Step]:  # fmt: skip
        """The contraction, after the packing of what it wants packed; others that pack an operand alike share it.

        Where there are several ways to do it, the sizes of a call decide which of these steps have anything to do.
        """
        made, graph = self.made, self.graph
        given = [buffers[slot] for slot in found.sources]
        for number, panels in enumerate(found.panels):
            ahead = sources[panels.source] in self.static
            given.append(self._packed(task, panels, buffers[panels.source], f"{node.name}:panels{number or ''}", ahead))
        outs = self._stored(node)
        operands = [buffers[task.body.inputs.index(name)] for name in operands_of(task)]
        products = f"{self.scope}{node.name}:products"
        read = {GIVEN: given, OPERANDS: operands, PRODUCTS: [products]}
        for way in ways:
            if way.products != 0:
                made.buffers[products] = Buffer(products, task.root.tensor.dtype, way.products, "arena")
            written = [products] if way.products != 0 else outs
            given = read.get(way.reads) or [buffers[slot] for slot in way.sources]
            yield Step(way.kernel, (*given, *written), way.sizes, node.name, graph=graph)

    def _packed(self, task: Task, panels: Panels, source: str, name: str, ahead: bool) -> str:
        """The buffer in which an operand lies packed: by a step before, or by one of its own, that may be ahead of
        calls."""
        made, owner = self.made, self._owner(source)
        wanted = (panels.kernel, task.sizes, source)
        before = [step for step in (*made.prepare, *owner.steps, *self.steps) if isinstance(step, Step)]
        for step in before:
            if (step.kernel, step.sizes, step.buffers[0]) == wanted:
                return step.buffers[1]
        name, dtype = self.scope + name, panels.kernel.dtype
        place = "prepared" if ahead else "arena"
        made.buffers[name] = Buffer(name, dtype, task.known(panels.elements), place)
        step = Step(panels.kernel, (source, name), task.sizes, name, graph=self.graph)
        (made.prepare if ahead else owner.steps).append(step)
        return name

    def _owner(self, buffer: str) -> _Planner:
        """Who computes what lies in a buffer: this part of the plan, or one around it, which packs it once."""
        owner = self
        while owner.outer is not None and buffer in owner.names.values():
            owner = owner.outer
        return owner

    def _add_checks(self, node: Node) -> None:
        """A step that looks at the indices of a gather or scatter before anything is read or written with them."""
        for reader, table, indices, size, wraps in lookups(self.graph, node):
            kind = self.graph[indices].tensor
            table = self.at(table) if table in self.graph else table
            kernel, sizes = checking(kind, size, wraps and kind.dtype not in UNSIGNED)
            step = Step(kernel, (self.at(indices),), sizes, reader, table, self.graph)
            if not any(isinstance(one, Step) and says_as_much(one, step) for one in self.steps):
                self.steps.append(step)

    # loops --------------------------------------------------------------------------------------------------------

    def _results(self, node: Node) -> dict[int, str]:
        """The buffers of the results of a loop, those that somebody reads."""
        return {self.graph[one].attrs["index"]: self.at(one) for one in self.graph.readers(node.name)}

    def _inside(self, body: Graph, scope: str, places: dict[str, str], copies: set[str]) -> _Planner:
        return _Planner(self.made, body, self.tile, places, copies, self.threads, scope, outer=self)

    def _add_loop(self, node: Node) -> None:
        scope = f"{self.scope}{node.name}::"
        arguments = Parts.of(node, self.graph.arguments(node.name))
        own, carried = node.attrs["body"], node.attrs["carried"]
        # What is carried and also kept of each step is written once: to its slice.
        new, kept = own.outputs[:carried], own.outputs[carried:]
        body = own.copy()
        alone = list(dict.fromkeys(name for name in new if name not in kept))
        body.outputs = [*kept, *alone]
        body, copies = with_results_of_their_own(body)
        written = dict(zip((*kept, *alone), body.outputs, strict=True))
        roots = {one: one if one in copies else viewed(body, one) for one in body.outputs}
        inputs = Parts.of(node, own.inputs)
        moving = [*inputs.carried, *inputs.scanned, *roots.values()]
        inside = self._inside(body, scope, dict.fromkeys(moving, "moving"), copies)
        for one, argument in zip(inputs.constant, arguments.constant, strict=True):
            inside.names[one] = self.at(argument)
            inside.static |= {one} if argument in self.static else set()
        inside.run()
        results = self._results(node)
        slices = [
            Slice(scope + one, self.at(argument))
            for one, argument in zip(inputs.scanned, arguments.scanned, strict=True)
        ]
        for number, one in enumerate(body.outputs[: len(kept)], carried):
            whole = results.get(number) or self._unread(node, number)
            slices.append(Slice(scope + roots[one], whole))
        handed = []
        for number, (one, argument) in enumerate(zip(inputs.carried, arguments.carried, strict=True)):
            target = scope + roots[written[new[number]]]
            spare = self._spare(target) if new[number] in alone else None
            alone = [name for name in alone if name != new[number]]  # another that carries it too reads the same memory
            handed.append(Carried(scope + one, target, self.at(argument), spare, results.get(number)))
        condition = scope + inputs.carried[0] if node.attrs["guarded"] else None
        cut = None
        recomputes = node.attrs.get("recompute", False)  # to use little memory; a room for each part would be more
        if self.tile is not None and not condition and not recomputes:  # a GPU does each step with all its threads
            cut = cut_of_loop(self.made, body, carried, inside.steps, inside.at)
        self.steps.append(
            Loop(
                tuple(inside.steps), node.attrs["length"], node.name, tuple(slices), tuple(handed),
                node.attrs["reverse"], condition, cut=cut,
            )
        )  # fmt: skip

    def _unread(self, node: Node, number: int) -> str:
        """Memory for a result that nobody reads."""
        kind = types_of(node)[number]
        name = f"{self.scope}{node.name}.{number}:unread"
        self.made.buffers[name] = Buffer(name, kind.dtype, kind.size, "arena")
        return name

    def _spare(self, name: str) -> tuple[str, str]:
        """Two places for a value that is carried."""
        like = self.made.buffers[name]
        names = (f"{name}:even", f"{name}:odd")
        for one in names:
            self.made.buffers[one] = Buffer(one, like.dtype, like.elements, "arena")
        return names

    def _add_branches(self, node: Node) -> None:
        flag, *arguments = self.graph.arguments(node.name)
        results = self._results(node)
        for wanted, key in ((True, "body"), (False, "other")):
            scope = f"{self.scope}{node.name}::{key}::"
            body, copies = with_results_of_their_own(node.attrs[key])
            inside = self._inside(body, scope, {}, copies)
            for one, argument in zip(body.inputs, arguments, strict=True):
                inside.names[one] = self.at(argument)
                inside.static |= {one} if argument in self.static else set()
            for number, one in enumerate(body.outputs):
                root = one if one in copies else viewed(body, one)
                inside.places[root] = "result"
                self.made.alias[scope + root] = results.get(number) or self._unread(node, number)
            inside.run()
            self.steps.append(Loop(tuple(inside.steps), 1, node.name, condition=self.at(flag), wanted=wanted))


def _is_loop(node: Node) -> bool:
    return node.op in OPS and OPS[node.op].kind == "loop"


def _check_halves(graph: Graph, has_tiles: bool) -> None:
    for node in graph:
        if node.body is not None:
            _check_halves(node.body, has_tiles)
        if not isinstance(node.type, TensorType) or node.tensor.dtype not in HALF:
            continue
        if has_tiles:
            raise DTypeError(
                f"{node.name} is {node.tensor}: the CPU's kernels take float32 and float64; cast it to one"
            )
        if node.op in OPS and OPS[node.op].kind in ADDING_UP:
            raise DTypeError(f"{node.name} is {node.tensor}: kernels add up in float32 and float64; cast it to one")
