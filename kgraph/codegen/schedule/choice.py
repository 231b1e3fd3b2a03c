"""From a node of the fused graph to the kernel that computes it: which loops, in which order, around what."""

from __future__ import annotations

from collections.abc import Sequence

from kgraph.codegen.schedule.chained import chaining, is_chain
from kgraph.codegen.schedule.contraction import Contraction, Tile, contracting, in_place, summing
from kgraph.codegen.schedule.elementwise import elementwise
from kgraph.codegen.schedule.kernel import Kernel
from kgraph.codegen.schedule.ordered import run_along, scatter
from kgraph.codegen.schedule.reduction import reducing
from kgraph.codegen.schedule.sorting import order_along
from kgraph.codegen.schedule.task import Task
from kgraph.graph.op import OPS
from kgraph.graph.types import is_float


def kinds(task: Task) -> set[str]:
    """The kinds of ops in a body."""
    return {OPS[node.op].kind for node in task.body if node.op in OPS}


def contracts_alone(task: Task) -> bool:
    """Whether a body is a contraction and what is done to its elements: nothing along its rows."""
    found = kinds(task)
    return "contract" in found and "reduce" not in found


def schedule(task: Task, tile: Tile | None, static: Sequence[bool]) -> Kernel | Contraction:
    """The kernel of one node; with tiles, a contraction comes with the kernel that packs its right operand."""
    found = kinds(task)
    if "contract" in found:
        node = task.contraction
        tiled = is_float(node.tensor.dtype) and len(task.body.arguments(node.name)) == 2
        if not tiled:
            return summing(task)
        if tile is None:
            return in_place(task)
        return (chaining if is_chain(task) else contracting)(task, tile, static)
    if "scatter" in found:
        return scatter(task)
    if "cumulate" in found:
        return run_along(task)
    if "sort" in found:
        return order_along(task)
    return reducing(task) if "reduce" in found else elementwise(task, tile is not None)
