"""Loops whose samples do not know each other: each thread does all steps of its part of the batch.

Between steps nobody waits for anybody then, and what a part carries stays in the caches of one core. A part has a fixed
number of samples, so results do not depend on the number of threads.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

from kgraph.codegen.plan.steps import Loop, Plan, Step
from kgraph.codegen.schedule.kernel import Check
from kgraph.ir import Graph, Node
from kgraph.op import OPS
from kgraph.sizes import Dim, Shape, axes_of, axis, substitute
from kgraph.types import TensorType

SAMPLES = 16  # of a part: a tile's rows and a few
KINDS = ("map", "contract", "reduce", "move")  # of ops that may leave samples apart


def sample_axis(
    plan: Plan, body: Graph, carried: int, steps: Iterable[Step | Loop], at: Callable[[str], str]
) -> str | None:
    """The axis of the samples, along which a loop with this body and these steps can be cut; None if it has none.

    Everything carried or kept begins with that axis, and no sample of any value depends on others. at: in which buffer
    a value of the body lies.
    """
    first = body[body.inputs[0]].tensor.shape[:1] if carried else ()
    names = axes_of(first)
    if len(names) != 1 or first != (axis(*names),):
        return None
    kept = [*body.inputs[:carried], *body.outputs]
    if not all(body[one].tensor.shape[:1] == first for one in kept) or not is_plain(body, first[0]):
        return None
    (name,) = names
    values = {at(node.name): node.tensor.size for node in body if isinstance(node.type, TensorType)}
    own = {one for one, size in values.items() if one in plan.buffers and plan.buffers[one].elements == size}
    return name if _fits(plan, steps, own, name) else None


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
        case "reshape" | "broadcast_to":
            return True
    kind = OPS[node.op].kind
    return kind == "map" or (kind == "reduce" and 0 not in attrs["axes"])


def _fits(plan: Plan, steps: Iterable[Step | Loop], values: set[str], name: str) -> bool:
    """Whether steps touch nothing that grows with the samples but these values, and refuse no input."""
    for step in steps:
        if isinstance(step, Loop) or isinstance(step.kernel.schedule, Check):
            return False
        if any(name in axes_of(plan.buffers[one].elements) and one not in values for one in step.buffers):
            return False
    return True


def parts(name: str) -> Dim:
    """How many parts there are."""
    return (axis(name) + (SAMPLES - 1)) // SAMPLES


def usual(size: Dim, name: str) -> Dim:
    """A size in every part but the last."""
    return substitute(size, {name: SAMPLES})


def last(size: Dim, name: str) -> Dim:
    """A size in the last part."""
    return substitute(size, {name: axis(name) - (parts(name) - 1) * SAMPLES})
