"""Kernels printed for the CPU: Python that numba compiles, around inner tiles that llvmlite emits.

Every kernel is a function of its pointers, its sizes, and the part [begin, end) of the parallel index that it is to do.
It returns 0, or 1 for input that it refuses.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from kgraph.codegen.contraction import BLOCK
from kgraph.codegen.kernel import (
    Accumulator,
    Block,
    Check,
    Columns,
    Find,
    Fold,
    Kernel,
    Lines,
    Nest,
    Pack,
    Product,
    Running,
    Scatter,
    Strides,
    Sweep,
)
from kgraph.codegen.native.host import tile_shape
from kgraph.codegen.reduction import STRIP
from kgraph.codegen.source import (
    Source,
    closed,
    combined,
    digits,
    inner_steps,
    size_text,
    strips,
    sum_text,
    terms,
    walked,
    write,
)
from kgraph.index import Loop
from kgraph.sizes import product
from kgraph.types import is_float


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


def one_block(text: Source, block: Block) -> None:
    """What happens for one value of the parallel index."""
    if isinstance(block, Lines):
        text(*block.lines)
        if block.store:
            write(text, block.store)
    elif isinstance(block, Fold):
        text(*(f"{one.name} = {one.initial}" for one in block.accumulators))
        with text.loops(list(block.loops)):
            text(*block.lines)
            text(*(f"{one.name} = {summed(one)}" for one in block.accumulators))
    elif isinstance(block, Sweep):
        with text.loops(list(block.loops)):
            text(*block.lines)
            write(text, block.store)
    else:
        find(text, block)


def summed(one: Accumulator) -> str:
    """An accumulator with one more element; floating sums say that their order is free."""
    if one.combine == "{0} + {1}" and is_float(one.dtype):
        return f"added({one.name}, {one.value})"
    return combined(one, one.name)


def find(text: Source, block: Find) -> None:
    """The position of the first extreme element."""
    text(f"{block.found} = 0")
    with text.loops([block.loop]):
        text(*block.lines, f"element = {block.value}")
        with text.block(f"if {block.loop.name} == 0:"):
            text("best = element")
        with text.block(f"if {block.better.format('best', 'element')}:"):
            text("best = element", f"{block.found} = {block.loop.name}")


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


def contract(text: Source, schedule: Product) -> None:
    """Tiles of the product, each finished (bias, activation, ...) while it is in the cache."""
    rows, width = tile_shape(schedule.dtype, schedule.vectors)
    text(f"tile = scratch_{schedule.dtype}({rows * width})")
    if schedule.whole_rows:
        return whole_rows(text, schedule, rows, width)
    block = rows * max(1, BLOCK // rows)
    blocks, panel = Loop("block", strips(schedule.row.extent, block)), panels_of(schedule, width)
    with parallel(text, (*schedule.batch, blocks, panel)):
        one_panel(text, schedule, width)
        text(f"last = min({schedule.row.extent}, (block + 1) * {block})")
        with text.block(f"for first in range(block * {block}, last, {rows}):"):
            text(f"height = min({rows}, last - first)")
            multiply(text, schedule, width)
            with text.block("for r in range(height):"):
                text("row = first + r")
                with text.block("for c in range(columns):"):
                    text("column = start + c", f"total = tile[r * {width} + c]")
                    for one in schedule.blocks:
                        one_block(text, one)
    return None


def whole_rows(text: Source, schedule: Product, rows: int, width: int) -> None:
    """Rows of the product in full, for what reduces along them: a softmax, a normalisation."""
    extent = schedule.column.extent
    text(f"lines = scratch_{schedule.dtype}({rows * extent})")
    with parallel(text, (*schedule.batch, Loop("block", strips(schedule.row.extent, rows)))):
        text(f"first = block * {rows}", f"height = min({rows}, {schedule.row.extent} - first)")
        with text.loops([panels_of(schedule, width)]):
            one_panel(text, schedule, width)
            multiply(text, schedule, width)
            with text.block("for r in range(height):"), text.block("for c in range(columns):"):
                text(f"lines[r * {extent} + start + c] = tile[r * {width} + c]")
        with text.block("for r in range(height):"):
            text("row = first + r", f"line = moved_{schedule.dtype}(lines, r * {extent})")
            for one in schedule.blocks:
                one_block(text, one)


def panels_of(schedule: Product | Pack, width: int) -> Loop:
    """The loop over the panels of the right operand."""
    return Loop("panel", strips(schedule.column.extent, width))


def one_panel(text: Source, schedule: Product, width: int) -> None:
    """Where a panel begins in the packed operand, and which columns it has."""
    depth = product(loop.extent for loop in schedule.inner)
    text(f"start = panel * {width}", f"columns = min({width}, {schedule.column.extent} - start)")
    chosen = [loop for loop, used in zip(schedule.batch, schedule.panel_batch, strict=True) if used]
    text(f"offset = {walked([*chosen, panels_of(schedule, width)])} * {closed(str(depth * width))}")


def multiply(text: Source, schedule: Product, width: int) -> None:
    """Fill the tile: one call of the micro-kernel for each run of summed axes that the left operand lets be one."""
    strides, split = schedule.left_strides, len(schedule.inner) - schedule.run
    outer, run = schedule.inner[:split], schedule.inner[split:]
    depth = product(loop.extent for loop in run)
    start = sum_text(
        [("first", strides.row), *terms(schedule.batch, strides.batch), *terms(outer, strides.inner[:split])]
    )
    panel = sum_text([("offset", 1), *terms(outer, inner_steps(outer, depth * width))])
    step = strides.inner[-1] if run else 1
    again = " or ".join(f"{loop.name} > 0" for loop in outer) or "False"
    with text.loops(list(outer)):
        text(
            f"multiply_tile_{schedule.dtype}x{schedule.vectors}({schedule.left}, {start}, {strides.row}, {step}, "
            f"{schedule.right}, {panel}, {depth}, tile, height, {again})"
        )


def pack(text: Source, schedule: Pack) -> None:
    """Panels of the right operand, with zeros past the last column."""
    width = tile_shape(schedule.dtype, schedule.vectors)[1]
    panel = panels_of(schedule, width)
    depth = product(loop.extent for loop in schedule.inner)
    with parallel(text, (*schedule.batch, panel)):
        text(f"start = panel * {width}", f"columns = min({width}, {schedule.column.extent} - start)")
        text(f"target = {walked([*schedule.batch, panel])} * {closed(str(depth * width))}")
        with text.loops(list(schedule.inner)):
            strides: Strides = schedule.strides
            source_terms = [*terms(schedule.batch, strides.batch), *terms(schedule.inner, strides.inner)]
            text(f"place = target + {sum_text(terms(schedule.inner, inner_steps(schedule.inner, width)))}")
            text(f"place_of_source = {sum_text([*source_terms, ('start', strides.row)])}")
            with text.block("for c in range(columns):"):
                text(f"out[place + c] = {schedule.source}[place_of_source + c * {size_text(strides.row)}]")
            with text.block(f"for c in range(columns, {width}):"):
                text(f"out[place + c] = {schedule.dtype}(0)")


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


@contextmanager
def parallel(text: Source, loops: Sequence[Loop]) -> Iterator[None]:
    """The loop over the part of the parallel index that this thread does; its digits are the outer loops."""
    fixed, loops = [loop for loop in loops if loop.extent == 1], [loop for loop in loops if loop.extent != 1]
    single = loops[0].name if len(loops) == 1 else "part"
    with text.block(f"for {single} in range(begin, end):"):
        if len(loops) > 1:
            text(*digits("part", loops))
        text(*(f"{loop.name} = 0" for loop in fixed))
        yield
