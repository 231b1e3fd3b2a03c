"""Kernels in tiles that are turned on the way, printed for the CPU."""

from __future__ import annotations

from kgraph.codegen.cpu.blocks import parallel
from kgraph.codegen.schedule.kernel import Turned, TurnedTile
from kgraph.codegen.schedule.source import Source, closed, size_text, strips, write
from kgraph.graph.index import Loop
from kgraph.graph.types import memory_dtype, numpy_dtype

BLOCK = {4: 8, 8: 4}  # elements of this many bytes: rows and columns that are turned in vector registers


def turned(text: Source, schedule: Turned) -> None:
    """Tiles of the inputs are turned, then the tile of the result is computed, row by row."""
    row, column, side = schedule.row, schedule.column, schedule.side
    text(*(f"{tile.name} = scratch_{memory_dtype(tile.dtype)}({side * side})" for tile in schedule.tiles))
    blocks = [Loop("column_block", strips(column.extent, side)), Loop("row_block", strips(row.extent, side))]
    with parallel(text, (*schedule.outer, *blocks)):
        text(f"top = row_block * {side}", f"height = min({side}, {row.extent} - top)")
        text(f"start = column_block * {side}", f"width = min({side}, {column.extent} - start)")
        for tile in schedule.tiles:
            turn(text, tile, side)
        with text.block("for r in range(height):"):
            text(f"{row.name} = top + r")
            with text.block("for c in range(width):"):
                text(f"{column.name} = start + c", *schedule.lines)
                write(text, *schedule.stores)


def turn(text: Source, tile: TurnedTile, side: int) -> None:
    """One tile: blocks of it in vector registers, what is left in the order in which the input has it."""
    step, block = size_text(tile.step), BLOCK.get(numpy_dtype(memory_dtype(tile.dtype)).itemsize)
    text(f"corner = {closed(tile.place)} + top + start * {step}")
    if block is not None:
        text(f"rows = height - height % {block}", f"columns = width - width % {block}")
        with text.block(f"for c in range(0, columns, {block}):"), text.block(f"for r in range(0, rows, {block}):"):
            text(f"turn_block({tile.name}, r * {side} + c, {side}, {tile.parameter}, corner + c * {step} + r, {step})")
    rest = "height" if block is None else "rows if c < columns else 0, height"
    with text.block("for c in range(width):"), text.block(f"for r in range({rest}):"):
        text(f"{tile.name}[r * {side} + c] = {tile.parameter}[corner + c * {step} + r]")
