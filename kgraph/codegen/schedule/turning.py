"""Kernels of elements that some input has in another order than the result: transposes, and what is computed with them.

Read element by element, such an input would move whole lines of memory for single numbers. So tiles of it are turned
into a tile in the first cache, where both orders are near.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from kgraph.codegen.schedule.kernel import Kernel, Store, Turned, TurnedTile
from kgraph.codegen.schedule.source import index_text, strips
from kgraph.codegen.schedule.task import CHUNK, Task, renamed_loops
from kgraph.codegen.schedule.values import Load, Values
from kgraph.graph.index import Index, Loop
from kgraph.graph.sizes import product
from kgraph.graph.types import numpy_dtype

SIDES = {4: 64, 16: 32, 64: 16}  # rows and columns of tiles of so many bytes an element, together: half the first cache
MOST_BYTES = 64
FEWEST = 8  # rows and columns that make tiles worth it


def turned(
    task: Task, values: Values, loops: Sequence[Loop], stores_of: Callable[[Values], tuple[Store, ...]]
) -> Kernel | None:
    """The kernel in tiles; None where every input is read along the last loop.

    values: those that the loops were found with; stores_of: makes the stores with others.
    """
    if len(loops) < 2:
        return None
    column = loops[-1]
    found = {load: row for load in values.plain if (row := _row(load, loops)) is not None}
    rows = list(dict.fromkeys(found.values()))
    taken = sum(numpy_dtype(load.dtype).itemsize for load in found)
    if len(rows) != 1 or taken > MOST_BYTES or column.name in values.opaque:
        return None
    (row,) = rows
    if any(isinstance(loop.extent, int) and loop.extent < FEWEST for loop in (row, column)):
        return None
    side = next(side for most, side in SIDES.items() if taken <= most)
    tiles, again = [], task.values()
    for number, load in enumerate(found):
        again.staged[load] = f"tile{number}[r * {side} + c]"
        step = dict(load.position.terms)[column]
        place = Index(tuple(term for term in load.position.terms if term[0] not in (row, column)), load.position.offset)
        tiles.append(TurnedTile(f"tile{number}", load.parameter, load.dtype, index_text(place), step))
    stores = stores_of(again)
    outer = [loop for loop in loops if loop not in (row, column)]
    extent = product(loop.extent for loop in outer) * strips(row.extent, side) * strips(column.extent, side)
    row, column = renamed_loops([row, column], task)
    schedule = Turned(tuple(renamed_loops(outer, task)), row, column, side, tuple(tiles), tuple(again.taken()), stores)
    return task.kernel(schedule, extent, CHUNK // side**2, again.stems)


def _row(load: Load, loops: Sequence[Loop]) -> Loop | None:
    """The loop along which an input has its elements side by side, where that is not the last, which strides."""
    if any(not isinstance(atom, Loop) or atom not in loops for atom, _ in load.position.terms):
        return None
    factors = dict(load.position.terms)
    if factors.get(loops[-1], 1) == 1:
        return None
    return next((loop for loop in loops[:-1] if factors.get(loop) == 1), None)
