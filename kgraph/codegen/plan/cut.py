"""Work on samples that do not know each other, cut along the batch: each thread does all steps of its part.

Between steps nobody waits for anybody then, and what a step leaves for the next stays in the caches of one core. So are
loops cut, and whole forward passes: those in which samples leave much to the next step, such as those of images, in
parts that fit the second cache; and those that are little work with few weights, where it would cost as much to share
every step. How many samples a part has depends on their number alone, so results do not depend on that of threads.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence

from kgraph.codegen.plan.effort import nanoseconds
from kgraph.codegen.plan.steps import Cut, Loop, Plan, Step
from kgraph.codegen.schedule.kernel import Check, Pack
from kgraph.codegen.schedule.task import UNKNOWN
from kgraph.graph.ir import Graph, Node
from kgraph.graph.op import OPS
from kgraph.graph.sizes import Dim, Shape, axes_of, axis, resolve, substitute
from kgraph.graph.types import TensorType

SAMPLES = 16  # of a part of a loop: a tile's rows and a few
STEPS = 50_000  # ns that these take at least, about
MUCH = 1 << 12  # bytes that a sample leaves in memory, from which on it is they that decide
ROOM = 1 << 19  # bytes that the samples of a part may leave there together: they stay in the second cache
FEW = 48  # samples of a part where each leaves less: a few tiles' rows
BRIEF = 3000  # ns that a part takes at least, about: less is not worth being handed to another core
EFFORT = 8  # by which nanoseconds are estimated too high where products fit the caches
KINDS = ("map", "contract", "reduce", "move", "cumulate")  # of ops that may leave samples apart


def cut_of_loop(
    plan: Plan, body: Graph, carried: int, steps: Iterable[Step | Loop], at: Callable[[str], str]
) -> Cut | None:
    """How a loop with this body and these steps is cut; None where its samples depend on each other.

    Everything carried or kept begins with that axis, and no sample of any value depends on others. at: in which buffer
    a value of the body lies.
    """
    name = _axis(body, [*body.inputs[:carried], *body.outputs]) if carried else None
    if name is None or not _fits(plan, body, steps, at, name):
        return None
    written = {one for step in steps if isinstance(step, Step) for one in step.writes}
    shared = any(name not in axes_of(plan.buffers[one].elements) for one in written)  # other parts may be further on
    return None if shared else Cut(name, SAMPLES, STEPS, False)


def cut_forward(plan: Plan, steps: list[Step | Loop], at: Callable[[str], str]) -> list[Step | Loop]:
    """The steps of a whole plan, those that compute in parts, where that pays: indices are looked at before."""
    graph = plan.graph
    checks = [one for one in steps if isinstance(one, Step) and isinstance(one.kernel.schedule, Check)]
    others = [one for one in steps if one not in checks]
    name = None if graph.updates or len(others) < 2 else _axis(graph, [*graph.inputs, *graph.outputs])
    if name is None or not all(plan.buffers[one].place == "input" for step in checks for one in step.buffers):
        return steps
    left = [one.bytes for one in plan.buffers.values() if one.place == "arena"]
    if not _fits(plan, graph, others, at, name):
        return steps
    sample = defaultdict(lambda: UNKNOWN, {name: 1})
    of_a_sample = resolve(sum(left), sample)
    time = max(1, nanoseconds(graph, sample) // EFFORT)
    if of_a_sample >= MUCH:
        count = max(1, ROOM // of_a_sample)
        cut = Cut(name, count, count * time, True)
    else:
        weights = [one for one in plan.buffers.values() if one.place == "prepared"]
        if resolve(sum(one.bytes for one in weights), sample) > ROOM:
            return steps
        least = max(FEW // 3, BRIEF // time)
        count = max(FEW, least)
        cut = Cut(name, count, count * time, True, least)
    return [*checks, Loop(tuple(others), 1, graph.outputs[0], cut=cut)]


def _axis(graph: Graph, kept: Sequence[str]) -> str | None:
    """The axis that all these begin with, where it is one of samples that do not depend on each other."""
    first = graph[kept[0]].tensor.shape[:1]
    names = axes_of(first)
    if len(names) != 1 or first != (axis(*names),) or axes_of(tuple(graph.assumed)) & names:
        return None
    alike = all(isinstance(graph[one].type, TensorType) and graph[one].tensor.shape[:1] == first for one in kept)
    return next(iter(names)) if alike and is_plain(graph, first[0]) else None


def is_plain(graph: Graph, count: Dim) -> bool:
    """Whether each value is the same for all samples, or has a part for each of them that depends on that one alone."""
    names = axes_of(count)
    for node in graph:
        if node.op == "fused" and node.body is not None:
            if not is_plain(node.body, count):
                return False
            continue
        if isinstance(node.type, tuple) or (node.op in OPS and OPS[node.op].kind not in KINDS):
            return False
        shape = node.tensor.shape
        is_shared = not axes_of(shape) & names
        if not is_shared and (shape[0] != count or axes_of(shape[1:]) & names):
            return False
        operands = [graph[name].tensor.shape for name in graph.arguments(node.name)] if node.op in OPS else []
        if is_shared and (any(axes_of(one) & names for one in operands) or axes_of(tuple(node.attrs.values())) & names):
            return False
        if not is_shared and node.op in OPS and not _keeps_samples(node, operands, count):
            return False
    return True


def _keeps_samples(node: Node, operands: list[Shape], count: Dim) -> bool:
    """Whether a sample of the result depends on that sample of the operands: the op leaves the first axis alone."""
    attrs = node.attrs
    match node.op:
        case "einsum":
            terms, result = attrs["spec"].split("->")
            pairs = zip(terms.split(","), operands, strict=True)
            return all((term.find(result[0]) == 0) == (shape[:1] == (count,)) for term, shape in pairs)
        case "transpose":
            return bool(attrs["axes"][0] == 0)
        case "slice":
            return (attrs["starts"][0], attrs["sizes"][0], attrs["steps"][0]) == (0, count, 1)
        case "pad":
            return (attrs["low"][0], attrs["high"][0], attrs["interior"][0]) == (0, 0, 0)
        case "flip":
            return 0 not in attrs["axes"]
        case "concatenate":
            return bool(attrs["axis"] != 0)
        case "take":
            table, indices = (shape[:1] == (count,) for shape in operands)
            return bool(indices and not table if attrs["axis"] == 0 else table and not indices)
        case "take_along_axis":
            return bool(attrs["axis"] != 0 and operands[0][:1] == operands[1][:1])
        case "reshape" | "broadcast_to" | "windows":
            return True
    kind = OPS[node.op].kind
    if kind == "map":  # an operand of fewer axes would meet the samples with another axis
        return all(len(shape) == node.tensor.rank for shape in operands if shape[:1] == (count,))
    return (kind == "reduce" and 0 not in attrs["axes"]) or (kind == "cumulate" and attrs["axis"] != 0)


def _fits(plan: Plan, graph: Graph, steps: Iterable[Step | Loop], at: Callable[[str], str], name: str) -> bool:
    """Whether steps touch nothing that grows with the samples but values of the graph, and refuse no input."""
    sizes = {at(node.name): node.tensor.size for node in graph if isinstance(node.type, TensorType)}
    values = {one for one, size in sizes.items() if one in plan.buffers and plan.buffers[one].elements == size}
    for step in steps:
        if isinstance(step, Loop) or isinstance(step.kernel.schedule, Check):
            return False
        if isinstance(step.kernel.schedule, Pack) and _packs_samples(step, step.kernel.schedule, name):
            values.add(step.buffers[1])
        if any(name in axes_of(plan.buffers[one].elements) and one not in values for one in step.buffers):
            return False
    return True


def _packs_samples(step: Step, schedule: Pack, name: str) -> bool:
    """Whether the panels that a step makes lie sample by sample."""
    known = dict(zip(step.kernel.sizes, step.sizes, strict=True))
    return bool(schedule.batch) and substitute(schedule.batch[0].extent, known) == axis(name)
