"""Kernels printed for CUDA: Python that numba-cuda compiles, a function of pointers and sizes that every thread runs.

What is added up together does not depend on the GPU: a `Geometry` fixes which thread takes what, and partial sums meet
in a fixed order, so equal inputs give equal results.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import lru_cache

from kgraph.codegen.cuda import product as product_by_threads
from kgraph.codegen.cuda import tensor
from kgraph.codegen.cuda.team import (
    GPU,
    WARP,
    Geometry,
    Launch,
    Team,
    carried,
    carrier,
    held,
    named,
    one_block,
    row_length,
    taken_apart,
)
from kgraph.codegen.schedule.kernel import Check, Columns, Kernel, Merge, Nest, Product, Running, Scatter, Sweep
from kgraph.codegen.schedule.sorting import sort_by_block
from kgraph.codegen.schedule.source import Source, closed, combined, digits, strips, write
from kgraph.graph.index import Loop
from kgraph.graph.sizes import Dim, minimum, product

FLAG = "failed"  # the int32 to which a check adds: 0 where every index is in range
LONGEST_ALONE = 32  # elements of a row that one thread takes
LONGEST_OF_WARP = 1024  # elements of a row that one warp takes
STRIP = 64  # places of the axis of a scatter that one thread looks after
FEW_ROWS = 8  # as many as one thread adds up into a column


def source(kernel: Kernel, geometry: Geometry = GPU) -> str:
    """The kernel as Python text."""
    return printed(kernel, geometry)[0]


def launch(kernel: Kernel, geometry: Geometry = GPU) -> Launch:
    """How many blocks of how many threads run it."""
    return printed(kernel, geometry)[1]


@lru_cache(maxsize=1024)
def printed(kernel: Kernel, geometry: Geometry) -> tuple[str, Launch]:
    """The kernel's text, and how it is launched."""
    text = Source()
    pointers = [parameter.name for parameter in kernel.parameters]
    if isinstance(kernel.schedule, Check):
        pointers.append(FLAG)
    printer = {
        Nest: nest, Columns: columns, Product: contraction, Running: running, Scatter: scatter, Merge: merge,
        Check: check,
    }  # fmt: skip
    with text.block(f"def kernel({', '.join([*pointers, *kernel.sizes])}):"):
        found = printer[type(kernel.schedule)](text, kernel.schedule, geometry)  # type: ignore[operator]
    return str(text), found


def nest(text: Source, schedule: Nest, geometry: Geometry) -> Launch:
    """Elements by themselves; or rows, by a thread, a warp or a block, by how long they are."""
    length = row_length(schedule)
    if length is None:
        return elements(text, schedule, geometry)
    if isinstance(length, int) and length <= LONGEST_ALONE:
        with parallel(text, schedule.outer):
            for block in schedule.blocks:
                one_block(text, block, Team(1))
        return threads_for(product(loop.extent for loop in schedule.outer), geometry)
    if isinstance(length, int) and length <= LONGEST_OF_WARP:
        return warp_rows(text, schedule, geometry)
    text("lane = cuda.threadIdx.x")
    taken_apart(text, schedule.outer)
    for block in schedule.blocks:
        one_block(text, block, Team(geometry.threads))
    return Launch(product(loop.extent for loop in schedule.outer), (geometry.threads,))


def elements(text: Source, schedule: Nest, geometry: Geometry) -> Launch:
    """Every element by itself, neighbours by neighbouring threads."""
    loops, blocks = schedule.outer, schedule.blocks
    if len(blocks) == 1 and isinstance(blocks[0], Sweep):
        loops = (*loops, *blocks[0].loops)
    with parallel(text, loops):
        for block in blocks:
            if isinstance(block, Sweep):
                text(*block.lines)
                write(text, *block.stores)
            else:
                one_block(text, block, Team(1))
    return threads_for(product(loop.extent for loop in loops), geometry)


def warp_rows(text: Source, schedule: Nest, geometry: Geometry) -> Launch:
    """A warp for each row; threads of a warp have one threadIdx.y."""
    total = product(loop.extent for loop in schedule.outer)
    text("lane = cuda.threadIdx.x")
    text(f"part = int64(cuda.blockIdx.x) * {geometry.rows} + cuda.threadIdx.y")
    with text.block(f"if part < {total}:"):
        text(*named(schedule.outer))
        for block in schedule.blocks:
            one_block(text, block, Team(WARP))
    return Launch(strips(total, geometry.rows), (WARP, geometry.rows))


def columns(text: Source, schedule: Columns, geometry: Geometry) -> Launch:
    """Neighbouring threads have neighbouring columns; some threads share a column where it has many rows."""
    loops, made = (*schedule.outer, schedule.column), schedule.accumulators
    total, length = (product(loop.extent for loop in some) for some in (loops, schedule.loops))
    sharing = 1 if isinstance(length, int) and length <= FEW_ROWS else geometry.rows
    width = geometry.threads // sharing
    text("x = cuda.threadIdx.x", "y = cuda.threadIdx.y", f"part = int64(cuda.blockIdx.x) * {width} + x")
    for one in made:
        text(f"{one.name}_rows = cuda.shared.array({geometry.threads}, {carrier(one.dtype)})")
        text(f"{one.name} = {one.initial}")
    single = schedule.loops[0].name if len(schedule.loops) == 1 else "place"
    with text.block(f"if part < {total}:"):
        text(*named(loops))
        with text.block(f"for {single} in range(y, {length}, {sharing}):"):
            if len(schedule.loops) > 1:
                text(*digits("place", schedule.loops))
            text(*schedule.lines)
            write(text, *schedule.stores_inside)
            text(*(f"{one.name} = {combined(one, one.name)}" for one in made))
    text(*(f"{one.name}_rows[y * {width} + x] = {carried(one)}" for one in made), "cuda.syncthreads()")
    with text.block(f"if y == 0 and part < {total}:"):
        with text.block(f"for other in range(1, {sharing}):"):
            for one in made:
                passed = held(one, f"{one.name}_rows[other * {width} + x]")
                text(f"{one.name} = {one.combine.format(one.name, passed)}")
        text(*named(loops), *schedule.after)
        write(text, *schedule.stores)
    return Launch(strips(total, width), (width, sharing))


def contraction(text: Source, schedule: Product, geometry: Geometry) -> Launch:
    """A product, on tensor cores where they take it."""
    way = tensor.contract if tensor.takes(schedule, geometry) else product_by_threads.contract
    return way(text, schedule, geometry)


def running(text: Source, schedule: Running, geometry: Geometry) -> Launch:
    """A running reduction: a thread for each row."""
    one = schedule.accumulator
    with parallel(text, schedule.outer):
        text(f"{one.name} = {one.initial}")
        with text.loops([schedule.loop]):
            text(f"{one.name} = {combined(one, one.name)}")
            write(text, schedule.store)
    return threads_for(product(loop.extent for loop in schedule.outer), geometry)


def scatter(text: Source, schedule: Scatter, geometry: Geometry) -> Launch:
    """Copies of the base, then updates in the order of the indices; a thread has a column of a strip of the axis."""
    axis = schedule.axis
    strip = Loop("strip", strips(axis.extent, STRIP))
    loops = (*schedule.outer, strip, schedule.column)
    with parallel(text, loops):
        text(f"first = strip * {STRIP}", f"last = min(first + {STRIP}, {axis.extent})")
        with text.block(f"for {axis.name} in range(first, last):"):
            text(f"out[{schedule.address}] = {schedule.base}")
        with text.loops([schedule.position]):
            text(f"{axis.name} = {schedule.index}")
            with text.block(f"if {axis.name} < 0:"):
                text(f"{axis.name} += {axis.extent}")
            with text.block(f"if {axis.name} >= first and {axis.name} < last:"):
                value = schedule.combine.format(f"out[{schedule.address}]", closed(schedule.update))
                text(f"out[{schedule.address}] = {value}")
    return threads_for(product(loop.extent for loop in loops), geometry)


def merge(text: Source, schedule: Merge, geometry: Geometry) -> Launch:
    """Sorted positions: a block for each row."""
    return Launch(sort_by_block(text, schedule, geometry.threads), (geometry.threads,))


def check(text: Source, schedule: Check, geometry: Geometry) -> Launch:
    """Count the indices outside their range, before anything is read with them."""
    with parallel(text, [schedule.loop]):
        text(f"index = int64({schedule.value})")
        with text.block(f"if index < {schedule.low} or index >= {schedule.high}:"):
            text(f"cuda.atomic.add({FLAG}, 0, 1)")
    return threads_for(schedule.loop.extent, geometry)


@contextmanager
def parallel(text: Source, loops: Sequence[Loop]) -> Iterator[None]:
    """A loop over the combinations of these loops that fall to this thread."""
    moving = [loop for loop in loops if loop.extent != 1]
    single = moving[0].name if len(moving) == 1 else "part"
    text(f"{single} = cuda.grid(1)")
    with text.block(f"while {single} < {product(loop.extent for loop in moving)}:"):
        text(*named(loops, single))
        yield
        text(f"{single} += cuda.gridsize(1)")


def threads_for(total: Dim, geometry: Geometry) -> Launch:
    """Enough threads for so many elements, each of which takes several where there are many."""
    return Launch(minimum(strips(total, geometry.threads), geometry.most_blocks), (geometry.threads,))
