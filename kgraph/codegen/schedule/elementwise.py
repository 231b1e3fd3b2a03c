"""Kernels without reductions: every element of the output by itself."""

from __future__ import annotations

from collections.abc import Sequence
from math import prod

from kgraph.codegen.schedule.kernel import Kernel, Lines, Nest, Sweep
from kgraph.codegen.schedule.task import CHUNK, Task, estimate, kept, loops_over, mergeable, renamed_loops, spread
from kgraph.codegen.schedule.turning import turned
from kgraph.codegen.schedule.values import Values
from kgraph.graph.index import Loop
from kgraph.graph.sizes import product

SHORT = 64  # elements of an inner loop that another is put around
BAND = 16  # elements of a row whose operands stay in registers while others of them go by
MOST_KEPT = 20  # registers for these


def elementwise(task: Task, in_tiles: bool = False) -> Kernel:
    """One kernel over as few loops as the addresses of the inputs allow; the last one runs inside a thread.

    in_tiles: turn inputs that have their elements in another order, tile by tile.
    """
    kind = task.root.tensor
    groups = kept(kind.shape, range(kind.rank))
    while True:
        values, loops = task.values(), loops_over(groups, kind.shape)
        at = spread(loops, groups, kind.shape)
        stores = task.stores(values, [at] * len(task.roots))
        pair = mergeable(loops, values, task.names)
        if pair is None:
            break
        groups[pair : pair + 2] = [groups[pair] + groups[pair + 1]]
    if in_tiles and (kernel := turned(task, values, loops, lambda own: task.stores(own, [at] * len(task.roots)))):
        return kernel
    lines = tuple(values.taken())
    extent = product(loop.extent for loop in loops)
    loops = renamed_loops(loops, task)
    if len(loops) <= 1:
        return task.kernel(Nest(tuple(loops), (Lines(lines, stores),)), extent, CHUNK, values.stems)
    band = _band(loops, values) if in_tiles else 0
    inner = 2 if band else _inner(loops) if in_tiles else 1
    rows = product(size for size in (kind.shape[axis] for group in groups[:-inner] for axis in group))
    nest = Nest(tuple(loops[:-inner]), (Sweep(tuple(loops[-inner:]), lines, stores, band),))
    return task.kernel(nest, rows, CHUNK // prod(estimate(loop.extent) for loop in loops[-inner:]), values.stems)


def _band(loops: Sequence[Loop], values: Values) -> int:
    """How long the pieces of the last loop are, around the one before it; 0 where that gains nothing.

    It does where many operands are rows that repeat along the loop before: the kernels of a convolution by channels.
    """
    before, last = loops[-2:]
    if (
        len(loops) < 3
        or not isinstance(last.extent, int)
        or last.extent % BAND
        or {before.name, last.name} & values.opaque
    ):
        return 0
    walked = [{atom.name for atom, _ in load.position.terms if isinstance(atom, Loop)} for load in set(values.plain)]
    repeated = sum(last.name in names and before.name not in names for names in walked)
    return BAND if len(walked) < 2 * repeated <= 2 * MOST_KEPT and repeated > 4 else 0


def _inner(loops: Sequence[Loop]) -> int:
    """How many loops run inside a thread: so many that taking a position apart is little beside what they do."""
    count = 1
    while count < len(loops) - 1 and prod(estimate(loop.extent) for loop in loops[-count:]) < SHORT:
        count += 1
    return count
