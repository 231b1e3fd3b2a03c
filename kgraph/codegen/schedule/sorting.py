"""The order of elements along rows: kernels that merge sorted runs of positions, to and fro between two memories."""

from __future__ import annotations

from dataclasses import replace

from kgraph.codegen.schedule.kernel import Kernel, Merge, Parameter
from kgraph.codegen.schedule.source import Source, size_text
from kgraph.codegen.schedule.task import CHUNK, Task, estimate, renamed_loops
from kgraph.graph.index import Loop
from kgraph.graph.sizes import Dim, product
from kgraph.graph.types import is_float

SPARE = "spare"  # the memory for as many positions again
RUN = 16  # elements that the CPU sorts by insertion
COST = 16  # of an element, in elements that are only copied


def order_along(task: Task) -> Kernel:
    """argsort along the last axis: a row for each combination of the others."""
    *outer, length = task.root.tensor.shape
    dtype = task.body[task.body.arguments(task.root.name)[0]].tensor.dtype
    row, element = renamed_loops([Loop("row", product(outer)), Loop("place", length)], task)
    schedule, grain = Merge(row, element, is_float(dtype)), CHUNK // (COST * estimate(length))
    found = task.kernel(schedule, product(outer), grain, {})
    return replace(found, parameters=(*found.parameters, Parameter(SPARE, "int32")))


def before(schedule: Merge, one: str, other: str) -> str:
    """Whether an element belongs before another one; NaN comes last."""
    text = f"{one} < {other}"
    return f"{text} or ({other} != {other} and {one} == {one})" if schedule.has_nan else text


def element(position: str) -> str:
    """The element of the row at a position read from memory."""
    return f"in0[base + int64({position})]"


# CPU -----------------------------------------------------------------------------------------------------------------


def sort_rows(text: Source, schedule: Merge) -> None:
    """Row by row: short runs by insertion, then pairs of runs are merged until one is left."""
    length = size_text(schedule.place.extent)
    with text.block(f"for {schedule.row.name} in range(begin, end):"):
        text(f"base = {schedule.row.name} * {length}")
        with text.block(f"for first in range(0, {length}, {RUN}):"):
            _insert(text, schedule, length)
        text(f"width = {RUN}")
        with text.block(f"while width < {length}:"):
            _merge_runs(text, schedule, "out", SPARE, length)
            with text.block(f"if width < {length}:"):
                _merge_runs(text, schedule, SPARE, "out", length)
            with text.block("else:"), text.block(f"for place in range({length}):"):
                text(f"out[base + place] = {SPARE}[base + place]")


def _insert(text: Source, schedule: Merge, length: str) -> None:
    with text.block(f"for place in range(first, min(first + {RUN}, {length})):"):
        text("value, hole = in0[base + place], place")
        with text.block("while hole > first:"):
            text(f"other = {element('out[base + hole - 1]')}")
            with text.block(f"if not ({before(schedule, 'value', 'other')}):"):
                text("break")
            text("out[base + hole] = out[base + hole - 1]", "hole -= 1")
        text("out[base + hole] = int32(place)")


def _merge_runs(text: Source, schedule: Merge, source: str, target: str, length: str) -> None:
    with text.block(f"for first in range(0, {length}, 2 * width):"):
        text(f"middle, last = min(first + width, {length}), min(first + 2 * width, {length})")
        text("left, right, place = first, middle, first")
        with text.block("while left < middle and right < last:"):
            text(
                *(f"{name} = {element(f'{source}[base + {at}]')}" for name, at in (("one", "left"), ("other", "right")))
            )
            with text.block(f"if {before(schedule, 'other', 'one')}:"):
                text(f"{target}[base + place] = {source}[base + right]", "right += 1")
            with text.block("else:"):
                text(f"{target}[base + place] = {source}[base + left]", "left += 1")
            text("place += 1")
        for rest, end in (("left", "middle"), ("right", "last")):
            with text.block(f"for turn in range({rest}, {end}):"):
                text(f"{target}[base + place] = {source}[base + turn]", "place += 1")
    text("width = 2 * width")


# CUDA ----------------------------------------------------------------------------------------------------------------


def sort_by_block(text: Source, schedule: Merge, threads: int) -> Dim:
    """A block for each row. Each thread finds, for places of its own, what is merged there; returns the blocks."""
    length = size_text(schedule.place.extent)
    own = f"for place in range(lane, {length}, {threads}):"
    text("lane = cuda.threadIdx.x", f"base = int64(cuda.blockIdx.x) * {length}")
    with text.block(own):
        text("out[base + place] = int32(place)")
    text("cuda.syncthreads()", "width = int64(1)")
    with text.block(f"while width < {length}:"):
        for source, target in (("out", SPARE), (SPARE, "out")):
            with text.block(own):
                _merged_at(text, schedule, source, target, length)
            text("cuda.syncthreads()", "width = 2 * width")  # a run longer than the row: the second pass copies
    return schedule.row.extent


def _merged_at(text: Source, schedule: Merge, source: str, target: str, length: str) -> None:
    """How many of the elements before this place come from the left run is searched for; see Green et al., 2012."""
    text(
        "first = place // (2 * width) * (2 * width)",
        f"middle, last = min(first + width, {length}), min(first + 2 * width, {length})",
        "turn = place - first",
        "low, high = max(0, turn - (last - middle)), min(turn, middle - first)",
    )
    with text.block("while low < high:"):
        text("some = (low + high) // 2")
        text(f"one = {element(f'{source}[base + first + some]')}")
        text(f"other = {element(f'{source}[base + middle + turn - some - 1]')}")
        with text.block(f"if {before(schedule, 'other', 'one')}:"):
            text("high = some")
        with text.block("else:"):
            text("low = some + 1")
    text("left, right = first + low, middle + turn - low", "found = left")
    with text.block("if left >= middle:"):
        text("found = right")
    with text.block("elif right < last:"):
        text(f"one, other = {element(f'{source}[base + left]')}, {element(f'{source}[base + right]')}")
        with text.block(f"if {before(schedule, 'other', 'one')}:"):
            text("found = right")
    text(f"{target}[base + place] = {source}[base + found]")
