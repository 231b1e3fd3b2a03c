"""Long reductions in few units, such as the sum of an array or of its rows: in parts, which threads share.

The longest loop is cut into parts of a fixed length; a second step of the same kernel combines what they left. Where
the sizes of a call make but one part, the first step does all there is to do.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from math import prod

from kgraph.codegen.schedule.kernel import Accumulator, Columns, Fold, Kernel, Lines, Nest, Parameter, Parts
from kgraph.codegen.schedule.task import CHUNK, estimate
from kgraph.codegen.schedule.values import loaded
from kgraph.graph.index import Loop
from kgraph.graph.sizes import Dim, minimum, product

IS_TOTAL = "is_total"  # the size by which a kernel knows its step
FEW = 64  # units of work: with more, threads have enough to share
FEWEST_ROWS = 64  # of a part, where columns are added up: the second step then costs little beside the first


@dataclass(frozen=True)
class Combined:
    """A reduction in two steps of one kernel: over the parts, and over what they left in memory of these types."""

    parts: Kernel
    total: Kernel
    partials: tuple[tuple[Parameter, Dim], ...]  # with their elements, in the kernel's sizes


def in_parts(kernel: Kernel) -> Combined | None:
    """The two steps of a reduction that is worth cutting; None for other kernels."""
    schedule = kernel.schedule
    if not isinstance(schedule, (Nest, Columns)) or not isinstance(kernel.extent, int) or kernel.extent >= FEW:
        return None
    fold = schedule if isinstance(schedule, Columns) else _only_fold(schedule)
    if fold is None:
        return None
    width, strip = (estimate(schedule.column.extent), schedule.strip) if isinstance(schedule, Columns) else (1, 1)
    band = min(width, strip)
    found = _cut(fold.loops, band, FEWEST_ROWS if isinstance(schedule, Columns) else 1)
    if found is None:
        return None
    loop, length = found
    whole = loop.extent // length
    count = whole + 1 - minimum(whole, 1)
    several = minimum(count, 2) - 1
    partials = tuple(Parameter(f"partial{number}", one.dtype) for number, one in enumerate(fold.accumulators))
    cut = replace(
        kernel,
        parameters=(*kernel.parameters, *partials),
        sizes=(*kernel.sizes, IS_TOTAL),
        schedule=Parts(schedule, loop, length),
    )
    work = length * band * prod(estimate(one.extent) for one in fold.loops if one is not loop)
    bands = -(-width // strip)
    together = max(1, 4 * CHUNK // work)  # parts, or bands of columns of one part, that a thread takes at a time
    together = min(bands, together) if bands > 1 else together
    elements = count * several * product(one.extent for one in schedule.outer) * width
    return Combined(
        replace(cut, extent=kernel.extent * count, grain=together),
        replace(cut, extent=kernel.extent * several, grain=max(1, together // 2) if width > 1 else FEW),
        tuple((one, elements) for one in partials),
    )


def _only_fold(nest: Nest) -> Fold | None:
    """The fold of rows that are reduced once, and of which nothing else is stored but results."""
    first, *others = nest.blocks
    return first if isinstance(first, Fold) and all(isinstance(block, Lines) for block in others) else None


def _cut(loops: Sequence[Loop], width: int, fewest: int) -> tuple[Loop, int] | None:
    """The loop to cut, and the length of a part: the first of unknown extent, else the longest."""
    found: list[tuple[float, Loop, int]] = []
    for loop in loops:
        others = prod(estimate(one.extent) for one in loops if one is not loop)
        length = max(1, -(-fewest // others), CHUNK // (others * width))
        turns = loop.extent / length if isinstance(loop.extent, int) else float("inf")
        if turns >= 4:
            found.append((turns, loop, length))
    best = max(found, key=lambda one: one[0], default=None)
    return best[1:] if best else None


def reading(accumulators: Sequence[Accumulator], address: str) -> tuple[Accumulator, ...]:
    """The accumulators with parts instead of elements."""
    made = []
    for number, one in enumerate(accumulators):
        made.append(replace(one, value=loaded(f"partial{number}[{address}]", one.dtype)))
    return tuple(made)
