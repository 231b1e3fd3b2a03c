"""Kernels printed for the CPU: Python that numba compiles, around inner tiles that llvmlite emits.

Every kernel is a function of its pointers, its sizes, and the part [begin, end) of the parallel index that it is to do.
It returns 0, or 1 for input that it refuses.
"""

from __future__ import annotations

from kgraph.codegen.cpu.blocks import parallel
from kgraph.codegen.cpu.product import chained, contract, pack
from kgraph.codegen.cpu.rows import columns, nest, parts
from kgraph.codegen.cpu.turned import turned
from kgraph.codegen.native.emit import LINE
from kgraph.codegen.schedule.kernel import (
    Chain,
    Check,
    Columns,
    Kernel,
    Merge,
    Nest,
    Pack,
    Parts,
    Product,
    Running,
    Scatter,
    Sort,
    Turned,
)
from kgraph.codegen.schedule.sorting import sort_rows
from kgraph.codegen.schedule.source import Source, closed, combined, counted, size_text, strips, write
from kgraph.graph.index import Loop
from kgraph.graph.types import numpy_dtype

AHEAD = 6  # updates that memory is asked for before they are due


def source(kernel: Kernel) -> str:
    """The kernel as Python text."""
    text = Source()
    names = [parameter.name for parameter in kernel.parameters]
    with text.block(f"def kernel({', '.join([*names, *kernel.sizes, 'begin', 'end'])}):"):
        printer = {
            Nest: nest,
            Columns: columns,
            Parts: parts,
            Product: contract,
            Chain: chained,
            Pack: pack,
            Running: running,
            Scatter: scatter,
            Sort: sort,
            Merge: sort_rows,
            Turned: turned,
        }
        if isinstance(kernel.schedule, Check):
            check(text, kernel.schedule)
        else:
            printer[type(kernel.schedule)](text, kernel.schedule)  # type: ignore[operator]
        text("return 0")
    return counted(str(text))


def unrolled(kernel: Kernel) -> bool:
    """Whether LLVM is to unroll loops. Narrow columns are kept in registers then.

    In other kernels it would only spread what reads one row over many instructions, each of which goes through memory
    in strides too large for the processor to guess what it will read next: a softmax takes half as long again.
    """
    schedule = kernel.schedule.whole if isinstance(kernel.schedule, Parts) else kernel.schedule
    return isinstance(schedule, (Columns, Product, Chain, Pack))


def running(text: Source, schedule: Running) -> None:
    """A running reduction, row by row."""
    one = schedule.accumulator
    with parallel(text, schedule.outer):
        text(f"{one.name} = {one.initial}")
        with text.loops([schedule.loop]):
            text(f"{one.name} = {combined(one, one.name)}")
            write(text, schedule.store)


def scatter(text: Source, schedule: Scatter) -> None:
    """Copies of the base, then updates in the order of the indices: the same sum for any number of threads."""
    if schedule.is_sorted:
        scatter_by_place(text, schedule)
        return
    column, strip = schedule.column, Loop("strip", strips(schedule.column.extent, schedule.strip))
    with parallel(text, (*schedule.outer, strip)):
        text(f"start = strip * {schedule.strip}", f"width = min({schedule.strip}, {column.extent} - start)")
        with text.loops([schedule.axis]), text.block("for c in range(width):"):
            text(f"{column.name} = start + c", f"out[{schedule.address}] = {schedule.base}")
        with text.loops([schedule.position]):
            text(f"{schedule.axis.name} = {schedule.index}")
            with text.block(f"if {schedule.axis.name} < 0:"):
                text(f"{schedule.axis.name} += {schedule.axis.extent}")
            with text.block("for c in range(width):"):
                text(f"{column.name} = start + c", updated(schedule))


def scatter_by_place(text: Source, schedule: Scatter) -> None:
    """The same, with the updates of each place found together."""
    place, column, itemsize = schedule.axis.name, schedule.column, numpy_dtype(schedule.dtype).itemsize
    with parallel(text, (*schedule.outer, schedule.axis)):
        with text.loops([schedule.column]):
            text(f"out[{schedule.address}] = {schedule.base}")
        with text.block(f"for turn in range(ends[{place} - 1] if {place} > 0 else 0, ends[{place}]):"):
            text(f"{schedule.position.name} = int64(order[min(turn + {AHEAD}, {schedule.position.extent} - 1)])")
            with text.block(f"for {column.name} in range(0, {column.extent}, {LINE // itemsize}):"):
                text(f"will_read({', '.join(schedule.source)})")
            text(f"{schedule.position.name} = int64(order[turn])")
            with text.loops([schedule.column]):
                text(updated(schedule))


def updated(schedule: Scatter) -> str:
    """The line that adds an update, or writes it."""
    value = schedule.combine.format(f"out[{schedule.address}]", closed(schedule.update))
    return f"out[{schedule.address}] = {value}"


def sort(text: Source, schedule: Sort) -> None:
    """Count what points to each place, then put each position behind those that went to its place before."""
    position, place = schedule.position, schedule.place
    with text.loops([place]):
        text(f"ends[{place.name}] = int32(0)")
    with text.loops([position]):
        text(f"{place.name} = int64({schedule.value})")
        text(f"{place.name} += {size_text(place.extent)} if {place.name} < 0 else 0")
        text(f"ends[{place.name}] += int32(1)")
    text("total = int32(0)")
    with text.loops([place]):
        text(f"count = ends[{place.name}]", f"ends[{place.name}] = total", "total = int32(total + count)")
    with text.loops([position]):
        text(f"{place.name} = int64({schedule.value})")
        text(f"{place.name} += {size_text(place.extent)} if {place.name} < 0 else 0")
        text(f"order[ends[{place.name}]] = int32({position.name})", f"ends[{place.name}] += int32(1)")


def check(text: Source, schedule: Check) -> None:
    """Refuse indices outside their range before anything is read with them."""
    with text.block(f"for {schedule.loop.name} in range(begin, end):"):
        text(f"index = int64({schedule.value})")
        with text.block(f"if index < {schedule.low} or index >= {schedule.high}:"):
            text("return 1")
