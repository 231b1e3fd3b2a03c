"""Contractions printed for the CPU: panels of the right operand, tiles of the product, and what follows on them."""

from __future__ import annotations

from kgraph.codegen.contraction import BLOCK
from kgraph.codegen.cpu_blocks import one_block, parallel
from kgraph.codegen.kernel import Pack, Product, Strides
from kgraph.codegen.native.host import tile_shape
from kgraph.codegen.source import Source, closed, inner_steps, size_text, strips, sum_text, terms, walked
from kgraph.index import Loop
from kgraph.sizes import product


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
