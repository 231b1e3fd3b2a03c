"""Kernels that reduce, printed for the CPU: row by row, rows into columns, and either of them in parts."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from kgraph.codegen.cpu.blocks import one_block, parallel
from kgraph.codegen.native.emit import LINE
from kgraph.codegen.schedule.kernel import Accumulator, Columns, Fold, Nest, Parts, Rows, Sweep
from kgraph.codegen.schedule.parts import IS_TOTAL, reading
from kgraph.codegen.schedule.source import Source, closed, combined, size_text, strips, walked, write
from kgraph.codegen.schedule.values import has_curves, loaded, stored
from kgraph.graph.index import Loop
from kgraph.graph.sizes import axis, product
from kgraph.graph.types import memory_dtype

SHORT = range(9, 33)  # elements of a row
LARGE = 1 << 19  # elements of an array that a core's own caches do not hold
PIECE = Loop("piece", axis("parts"))


def nest(text: Source, schedule: Nest) -> None:
    """Blocks inside the outer loops."""
    with parallel(text, schedule.outer):
        if is_short(schedule):
            text("apart()")
        walks = 0
        for block in schedule.blocks:
            if isinstance(block, (Fold, Sweep)):
                walks += 1
                if schedule.rows is not None and walks == 2:
                    fetch_ahead(text, schedule, schedule.rows)
            one_block(text, block)


def fetch_ahead(text: Source, schedule: Nest, rows: Rows) -> None:
    """Before the second walk through a row the next one is fetched, and the results of this one, to be written.

    Else memory waits while the row, which is in the cache by then, is walked through again. Before the first walk
    the results would be in the way of the row itself. Small arrays are in a cache anyway.
    """
    loops = [loop for loop in schedule.outer if loop.extent != 1]
    row = loops[0].name if len(loops) == 1 else "part"
    with text.block(f"if {size_text(product(loop.extent for loop in loops))} > {LARGE // rows.length}:"):
        for call, place, some in (("will_read", f"({row} + 1)", rows.read), ("will_write", row, rows.written)):
            for name, itemsize in some:
                with text.block(f"for line in range(0, {rows.length}, {LINE // itemsize}):"):
                    text(f"{call}({name}, {place} * {rows.length} + line)")


def is_short(schedule: Nest) -> bool:
    """Whether rows are so short that LLVM unrolls the loops over them, and would then gather elements of many rows.

    That pays only where it has more to do with them than to load and store them.
    """
    loops = [loop for block in schedule.blocks if isinstance(block, (Fold, Sweep)) for loop in block.loops]
    lengths = [loop.extent for loop in loops if isinstance(loop.extent, int)]
    lines = str(schedule.blocks)
    return any(length in SHORT for length in lengths) and not has_curves(lines)


def columns(text: Source, schedule: Columns) -> None:
    """Rows added into a strip of columns that stays in the cache."""
    take_strips(text, schedule)
    with parallel(text, (*schedule.outer, strip_of(schedule))):
        add_up(text, schedule)
        finish(text, schedule)


def take_strips(text: Source, schedule: Columns) -> None:
    """Room for what the columns of a strip add up to."""
    for number, one in enumerate(schedule.accumulators):
        text(f"strip{number} = scratch_{memory_dtype(one.dtype)}({schedule.strip})")


def strip_of(schedule: Columns) -> Loop:
    """The loop over strips."""
    return Loop("strip", strips(schedule.column.extent, schedule.strip))


def add_up(text: Source, schedule: Columns) -> None:
    """The sums of one strip."""
    column = schedule.column
    text(f"start = strip * {schedule.strip}", f"width = min({schedule.strip}, {column.extent} - start)")
    with text.block("for c in range(width):"):
        text(*(f"strip{number}[c] = {one.initial}" for number, one in enumerate(schedule.accumulators)))
    with text.loops(list(schedule.loops)), text.block("for c in range(width):"):
        text(f"{column.name} = start + c", *schedule.lines)
        write(text, *schedule.stores_inside)
        for number, one in enumerate(schedule.accumulators):
            text(f"strip{number}[c] = {combined(one, held(one, number))}")


def finish(text: Source, schedule: Columns) -> None:
    """What follows from them is stored."""
    with text.block("for c in range(width):"):
        text(f"{schedule.column.name} = start + c")
        text(*(f"{one.name} = {held(one, number)}" for number, one in enumerate(schedule.accumulators)))
        text(*schedule.after)
        write(text, *schedule.stores)


def held(one: Accumulator, number: int) -> str:
    """What an accumulator holds for a column of its strip; booleans lie there as bytes."""
    return loaded(f"strip{number}[c]", one.dtype)


def parts(text: Source, schedule: Parts) -> None:
    """The first step leaves what each part comes to, unless there is one part; the second combines them."""
    whole = schedule.whole
    if isinstance(whole, Columns):
        take_strips(text, whole)
    text(f"parts = max(1, {size_text(schedule.loop.extent)} // {schedule.length})")
    printer = parts_of_columns if isinstance(whole, Columns) else parts_of_rows
    printer(text, schedule, whole)  # type: ignore[arg-type]


def parts_of_rows(text: Source, schedule: Parts, whole: Nest) -> None:
    """Both steps of a reduction to few elements."""
    fold, *after = whole.blocks
    assert isinstance(fold, Fold)
    address = address_of(whole.outer)
    with text.block(f"if {IS_TOTAL} == 0:"), parallel(text, (*whole.outer, PIECE)):
        if is_short(whole):
            text("apart()")
        loops, lines = one_part(text, schedule, fold.loops)
        one_block(text, replace(fold, loops=loops, lines=(*lines, *fold.lines)))
        with text.block("if parts == 1:"):
            for block in after:
                one_block(text, block)
        with text.block("else:"):
            for number, one in enumerate(fold.accumulators):
                text(f"partial{number}[{address}] = {stored(one.name, one.dtype)}")
    with text.block("else:"), parallel(text, whole.outer):
        one_block(text, Fold((PIECE,), (), reading(fold.accumulators, address)))
        for block in after:
            one_block(text, block)


def parts_of_columns(text: Source, schedule: Parts, whole: Columns) -> None:
    """Both steps of a reduction of rows to one."""
    address = f"{closed(address_of(whole.outer))} * {size_text(whole.column.extent)} + {whole.column.name}"
    with text.block(f"if {IS_TOTAL} == 0:"), parallel(text, (*whole.outer, PIECE, strip_of(whole))):
        loops, lines = one_part(text, schedule, whole.loops)
        add_up(text, replace(whole, loops=loops, lines=(*lines, *whole.lines)))
        with text.block("if parts == 1:"):
            finish(text, whole)
        with text.block("else:"), text.block("for c in range(width):"):
            text(f"{whole.column.name} = start + c")
            text(*(f"partial{number}[{address}] = strip{number}[c]" for number in range(len(whole.accumulators))))
    with text.block("else:"), parallel(text, (*whole.outer, strip_of(whole))):
        made = reading(whole.accumulators, address)
        add_up(text, replace(whole, loops=(PIECE,), lines=(), accumulators=made, stores_inside=()))
        finish(text, whole)


def one_part(text: Source, schedule: Parts, loops: Sequence[Loop]) -> tuple[tuple[Loop, ...], tuple[str, ...]]:
    """The loops over one part, and the line that says where in the whole a turn of them is."""
    loop, length = schedule.loop, schedule.length
    text(f"first = piece * {length}", f"length = {length} if piece + 1 < parts else {loop.extent} - first")
    turn = Loop("turn", axis("length"))
    return tuple(turn if one == loop else one for one in loops), (f"{loop.name} = first + turn",)


def address_of(outer: Sequence[Loop]) -> str:
    """Where a part leaves what it comes to."""
    row = walked(outer)
    return "piece" if row == "0" else f"{row} * parts + piece"
