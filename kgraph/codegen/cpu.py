"""Kernels printed for the CPU: Python that numba compiles, around inner tiles that llvmlite emits.

Every kernel is a function of its pointers, its sizes, and the part [begin, end) of the parallel index that it is to do.
It returns 0, or 1 for input that it refuses.
"""

from __future__ import annotations

from kgraph.codegen.cpu_blocks import one_block, parallel
from kgraph.codegen.cpu_product import contract, pack
from kgraph.codegen.kernel import Accumulator, Check, Columns, Kernel, Nest, Pack, Product, Running, Scatter
from kgraph.codegen.reduction import STRIP
from kgraph.codegen.source import Source, combined, strips, write
from kgraph.index import Loop


def source(kernel: Kernel) -> str:
    """The kernel as Python text."""
    text = Source()
    names = [parameter.name for parameter in kernel.parameters]
    with text.block(f"def kernel({', '.join([*names, *kernel.sizes, 'begin', 'end'])}):"):
        printer = {Nest: nest, Columns: columns, Product: contract, Pack: pack, Running: running, Scatter: scatter}
        if isinstance(kernel.schedule, Check):
            check(text, kernel.schedule)
        else:
            printer[type(kernel.schedule)](text, kernel.schedule)  # type: ignore[operator]
        text("return 0")
    return str(text)


def nest(text: Source, schedule: Nest) -> None:
    """Blocks inside the outer loops."""
    with parallel(text, schedule.outer):
        for block in schedule.blocks:
            one_block(text, block)


def columns(text: Source, schedule: Columns) -> None:
    """Rows added into a strip of columns that stays in the cache."""
    for number, one in enumerate(schedule.accumulators):
        kind = "uint8" if one.dtype == "bool" else one.dtype
        text(f"strip{number} = scratch_{kind}({STRIP})")
    column, strip = schedule.column, Loop("strip", strips(schedule.column.extent, STRIP))
    with parallel(text, (*schedule.outer, strip)):
        text(f"start = strip * {STRIP}", f"width = min({STRIP}, {column.extent} - start)")
        with text.block("for c in range(width):"):
            text(*(f"strip{number}[c] = {one.initial}" for number, one in enumerate(schedule.accumulators)))
        with text.loops(list(schedule.loops)), text.block("for c in range(width):"):
            text(f"{column.name} = start + c", *schedule.lines)
            for number, one in enumerate(schedule.accumulators):
                text(f"strip{number}[c] = {combined(one, held(one, number))}")
        with text.block("for c in range(width):"):
            text(f"{column.name} = start + c")
            text(*(f"{one.name} = {held(one, number)}" for number, one in enumerate(schedule.accumulators)))
            text(*schedule.after)
            write(text, schedule.store)


def held(one: Accumulator, number: int) -> str:
    """What an accumulator holds for a column of its strip; booleans lie there as bytes."""
    return f"strip{number}[c]" if one.dtype != "bool" else f"(strip{number}[c] != 0)"


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
    column, strip = schedule.column, Loop("strip", strips(schedule.column.extent, STRIP))
    with parallel(text, (*schedule.outer, strip)):
        text(f"start = strip * {STRIP}", f"width = min({STRIP}, {column.extent} - start)")
        with text.loops([schedule.axis]), text.block("for c in range(width):"):
            text(f"{column.name} = start + c", f"out[{schedule.address}] = {schedule.base}")
        with text.loops([schedule.position]):
            text(f"{schedule.axis.name} = {schedule.index}")
            with text.block(f"if {schedule.axis.name} < 0:"):
                text(f"{schedule.axis.name} += {schedule.axis.extent}")
            with text.block("for c in range(width):"):
                value = schedule.combine.format(f"out[{schedule.address}]", schedule.update)
                text(f"{column.name} = start + c", f"out[{schedule.address}] = {value}")


def check(text: Source, schedule: Check) -> None:
    """Refuse indices outside their range before anything is read with them."""
    with text.block(f"for {schedule.loop.name} in range(begin, end):"):
        text(f"index = int64({schedule.value})")
        with text.block(f"if index < {schedule.low} or index >= {schedule.high}:"):
            text("return 1")
