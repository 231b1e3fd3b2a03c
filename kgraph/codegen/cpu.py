"""Kernels printed for the CPU: Python that numba compiles, around inner tiles that llvmlite emits.

Every kernel is a function of its pointers, its sizes, and the part [begin, end) of the parallel index that it is to do.
It returns 0, or 1 for input that it refuses.
"""

from __future__ import annotations

from kgraph.codegen.cpu_blocks import one_block, parallel
from kgraph.codegen.cpu_product import contract, pack
from kgraph.codegen.kernel import (
    Accumulator,
    Check,
    Columns,
    Fold,
    Kernel,
    Nest,
    Pack,
    Product,
    Running,
    Scatter,
    Sweep,
)
from kgraph.codegen.reduction import COSTLY, STRIP
from kgraph.codegen.source import Source, combined, strips, write
from kgraph.index import Loop

SHORT = range(9, 33)  # elements of a row


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


def unrolled(kernel: Kernel) -> bool:
    """Whether LLVM is to unroll loops. Narrow columns are kept in registers then.

    In other kernels it would only spread what reads one row over many instructions, each of which goes through memory
    in strides too large for the processor to guess what it will read next: a softmax takes half as long again.
    """
    return isinstance(kernel.schedule, (Columns, Product, Pack))


def nest(text: Source, schedule: Nest) -> None:
    """Blocks inside the outer loops."""
    with parallel(text, schedule.outer):
        if is_short(schedule):
            text("apart()")
        for block in schedule.blocks:
            one_block(text, block)


def is_short(schedule: Nest) -> bool:
    """Whether rows are so short that LLVM unrolls the loops over them, and would then gather elements of many rows.

    That pays only where it has more to do with them than to load and store them.
    """
    loops = [loop for block in schedule.blocks if isinstance(block, (Fold, Sweep)) for loop in block.loops]
    lengths = [loop.extent for loop in loops if isinstance(loop.extent, int)]
    lines = str(schedule.blocks)
    return any(length in SHORT for length in lengths) and not any(f"{name}(" in lines for name in COSTLY)


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
            write(text, *schedule.stores_inside)
            for number, one in enumerate(schedule.accumulators):
                text(f"strip{number}[c] = {combined(one, held(one, number))}")
        with text.block("for c in range(width):"):
            text(f"{column.name} = start + c")
            text(*(f"{one.name} = {held(one, number)}" for number, one in enumerate(schedule.accumulators)))
            text(*schedule.after)
            write(text, *schedule.stores)


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
