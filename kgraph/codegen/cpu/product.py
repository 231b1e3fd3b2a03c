"""Contractions printed for the CPU: panels of the right operand, tiles of the product, and what follows on them.

A unit of work is a block of rows by a panel of columns. Its tiles stay in the first cache until the sum is complete and
the bias, the activation, ... have been applied; without any of these the tiles are made in the result itself.
"""

from __future__ import annotations

from collections.abc import Sequence

from kgraph.codegen.cpu.apart import read_apart, rows_apart
from kgraph.codegen.cpu.blocks import one_block, parallel
from kgraph.codegen.native.host import tile_shape
from kgraph.codegen.native.tile import BIAS, RELU
from kgraph.codegen.schedule.contraction import BLOCK
from kgraph.codegen.schedule.kernel import NO_ROOM, Chain, Ending, Pack, Product, Strides
from kgraph.codegen.schedule.source import Source, closed, inner_steps, size_text, strips, sum_text, terms, walked
from kgraph.graph.index import Loop
from kgraph.graph.sizes import Dim, product
from kgraph.passes.chain import bytes_of

DEPTH = 512  # summed at a time, so that a block of rows and its part of a panel stay in the second cache
FEW = 12  # units of work, of which one more or less matters to a thread
STACK = 1 << 20  # bytes of a tile's rows, up to which they are on the stack of a thread
FROM_TOP = "(top + first)"  # the first row of a tile, in a left operand that is in memory


def contract(text: Source, schedule: Product) -> None:
    """A matrix product, or a batch of them, and what follows."""
    width = tile_shape(schedule.dtype, schedule.vectors)[1]
    if not schedule.packed:
        text(f"edge = scratch_{schedule.dtype}({DEPTH * width})")
    (whole_rows if schedule.whole_rows else by_element)(text, schedule, width)


def by_element(text: Source, schedule: Product, width: int) -> None:
    """What follows is done to each element by itself."""
    rows = tile_shape(schedule.dtype, schedule.vectors)[0]
    block = rows * max(1, BLOCK // rows)
    text(f"tiles = scratch_{schedule.dtype}({block * width})")
    blocks, panel = Loop("block", strips(schedule.row.extent, block)), panels_of(schedule, width)
    text(f"even = {even_block(schedule.row.extent, block, rows)}")
    with rows_apart(text, schedule, block), parallel(text, (*schedule.batch, blocks, panel)):
        if not schedule.batch and 1 not in (blocks.extent, panel.extent):
            by_panel(text, blocks, panel)
        text("top = block * even", f"height = min(even, {schedule.row.extent} - top)")
        schedule, left_row = left_rows(text, schedule, [*schedule.batch, blocks])
        one_panel(text, schedule, width)
        finished_panel(text, schedule, width, rows, left_row)


def by_panel(text: Source, blocks: Loop, panel: Loop) -> None:
    """Of few units, whose blocks may be of unlike heights, those of one panel come one after the other.

    Threads take neighbours, so each gets about as many rows. Of many they had better take the same rows as in the
    kernels before and after.
    """
    rows, columns = (closed(str(loop.extent)) for loop in (blocks, panel))
    with text.block(f"if {rows} * {columns} <= {FEW}:"):
        text(f"place = block * {columns} + panel", f"panel = place // {rows}", f"block = place % {rows}")


def even_block(extent: Dim, block: int, rows: int) -> Dim:
    """How many rows each block has, where all get about as many: not more than `block`, and whole tiles."""
    count = strips(extent, block)
    return strips(strips(extent, count) if count != 0 else block, rows) * rows


def finished_panel(text: Source, schedule: Product, width: int, rows: int, left_row: str) -> None:
    """A block of rows by one panel: the sums, and what follows on each of them."""
    text("target = tiles", f"target_row = {width}")
    out, ending = schedule.out_strides, schedule.ending
    mode = _mode(ending)
    if mode:
        text("ending = 0", "bias = tiles")
    if out is not None:
        place = sum_text([*terms(schedule.batch, out.batch), ("top", out.row), ("start", 1)])
        with text.block(f"if columns == {width}:"):
            text(f"target = moved_{schedule.dtype}(out, {place})", f"target_row = {out.row}")
            text(*([f"ending = {mode}"] if mode else []))
            text(*([f"bias = moved_{schedule.dtype}({ending.bias}, start)"] if ending and ending.bias else []))
    multiply(text, schedule, width, rows, left_row, bool(mode))
    with text.block(f"for r in range({'height' if out is None else f'height if columns < {width} else 0'}):"):
        text("row = top + r")
        with text.block("for c in range(columns):"):
            text("column = start + c", f"total = tiles[r * {width} + c]")
            for one in schedule.blocks:
                one_block(text, one)


def _mode(ending: Ending | None) -> int:
    """What the last part of a sum asks of the tile."""
    return 0 if ending is None else BIAS * bool(ending.bias) + RELU * ending.is_relu


def whole_rows(text: Source, schedule: Product, width: int) -> None:
    """Rows of the product in full, for what reduces along them: a softmax, a normalisation."""
    rows = tile_shape(schedule.dtype, schedule.vectors)[0]
    take_lines(text, schedule, width, rows)
    with rows_apart(text, schedule, rows), parallel(text, blocks_of(schedule, rows)):
        finished_rows(text, schedule, width, rows)


def take_lines(text: Source, schedule: Product, width: int, rows: int) -> None:
    """Memory for a tile's rows in full."""
    text(f"lines = scratch_{schedule.dtype}({rows} * {row_in_full(schedule, width)})")


def row_in_full(schedule: Product, width: int) -> str:
    """The elements from one such row to the next."""
    return f"{closed(str(strips(schedule.column.extent, width)))} * {width}"


def finished_rows(text: Source, schedule: Product, width: int, rows: int, before: str = "") -> None:
    """A tile's rows in full, and what follows on each of them; `before` stands ahead of it."""
    text(f"top = block * {rows}", f"height = min({rows}, {schedule.row.extent} - top)")
    text(f"target_row = {row_in_full(schedule, width)}")
    schedule, left_row = left_rows(text, schedule, blocks_of(schedule, rows))
    with text.loops([panels_of(schedule, width)]):
        one_panel(text, schedule, width)
        text(f"target = moved_{schedule.dtype}(lines, start)")
        multiply(text, schedule, width, rows, left_row)
    with text.block("for r in range(height):"):
        text("row = top + r", f"line = moved_{schedule.dtype}(lines, r * target_row)", *filter(None, [before]))
        for one in schedule.blocks:
            one_block(text, one)


def chained(text: Source, schedule: Chain) -> None:
    """Rows of one product, and the product of these: they stay where they were made, in the cache."""
    first, second = schedule.rows, schedule.product
    rows, dtype = tile_shape(first.dtype, first.vectors)[0], first.dtype
    widths = [tile_shape(dtype, one.vectors)[1] for one in (first, second)]
    if not (first.packed and second.packed):
        text(f"edge = scratch_{dtype}({DEPTH * max(widths)})")
    on_stack = isinstance(schedule.pitch, int) and 2 * rows * schedule.pitch * bytes_of(dtype) <= STACK
    if on_stack:
        take_lines(text, first, widths[0], rows)
        text(f"kept_rows = scratch_{dtype}({rows} * {schedule.pitch})")
    else:
        take_room(text, dtype, rows, row_in_full(first, widths[0]), closed(str(schedule.pitch)))
    text(f"tiles = scratch_{dtype}({rows * widths[1]})")
    with rows_apart(text, first, rows), parallel(text, blocks_of(first, rows)):
        finished_rows(text, first, widths[0], rows, f"kept = moved_{dtype}(kept_rows, r * {size_text(schedule.pitch)})")
        text("kept = kept_rows")
        with text.loops([panels_of(second, widths[1])]):
            one_panel(text, second, widths[1])
            finished_panel(text, second, widths[1], rows, "first")
    text(*([] if on_stack else ["give_back(lines)"]))


def take_room(text: Source, dtype: str, rows: int, line: str, pitch: str) -> None:
    """Memory for rows of which the stack might not hold a tile's: they are long, or only a call knows how long."""
    text(f"lines = room_{dtype}({rows} * ({line} + {pitch}))")
    with text.block("if is_nowhere(lines):"):
        text(f"return {NO_ROOM}")
    text(f"kept_rows = moved_{dtype}(lines, {rows} * {line})")


def blocks_of(schedule: Product, rows: int) -> tuple[Loop, ...]:
    """The loops over blocks of so many rows of each batch."""
    return (*schedule.batch, Loop("block", strips(schedule.row.extent, rows)))


def left_rows(text: Source, schedule: Product, blocks: Sequence[Loop]) -> tuple[Product, str]:
    """The product as tiles read the left operand, and which row of it is the first one of a tile."""
    return (read_apart(text, schedule, blocks), "first") if schedule.apart else (schedule, FROM_TOP)


def panels_of(schedule: Product | Pack, width: int) -> Loop:
    """The loop over the panels of the right operand."""
    return Loop("panel", strips(schedule.column.extent, width))


def one_panel(text: Source, schedule: Product, width: int) -> None:
    """Which columns a panel has, and where it begins: in the packed operand, or in the operand itself."""
    text(f"start = panel * {width}", f"columns = min({width}, {schedule.column.extent} - start)")
    if schedule.packed:
        chosen = [loop for loop, used in zip(schedule.batch, schedule.panel_batch, strict=True) if used]
        place = f"{walked([*chosen, panels_of(schedule, width)])} * {closed(str(schedule.depth * width))}"
    else:
        place = sum_text([*terms(schedule.batch, schedule.right_strides.batch), ("start", 1)])
    text(f"offset = {place}")


def multiply(text: Source, schedule: Product, width: int, rows: int, left_row: str, has_ending: bool = False) -> None:
    """Fill the target with the product of `height` rows and a panel, one part of the summed axes after the other.

    left_row: which row of the left operand is the first one of a tile. has_ending: the last part does what `ending`
    says.
    """
    split = len(schedule.inner) - schedule.run
    outer, run = list(schedule.inner[:split]), schedule.inner[split:]
    whole = closed(str(product(loop.extent for loop in run)))
    begin, end = "0", whole if outer else f"max({whole}, 1)"
    if schedule.part:
        begin = f"{schedule.batch[0].name} * {schedule.part}"
        end = f"min({whole}, {begin} + {schedule.part})"
    mode = "again"
    text("again = 0", f"last = {end}")
    if has_ending:
        times = closed(str(product(loop.extent for loop in outer)))
        text(f"left = {times} * ((last + {DEPTH - 1}) // {DEPTH})")
        mode = "again + (ending if left == 0 else 0)"
    with text.loops(outer), text.block(f"for low in range({begin}, last, {DEPTH}):"):
        text(f"depth = min({DEPTH}, {'last' if schedule.part else whole} - low)", *(["left -= 1"] * has_ending))
        one_part(text, schedule, outer, width)
        inner = [*terms(outer, schedule.left_strides.inner[:split]), ("low", step_of(schedule, schedule.left_strides))]
        tiles(text, schedule, inner, rows, left_row, mode)
        text("again = 1")
    if outer:
        with text.block("if again == 0:"):  # there was nothing to sum
            text("depth = 0", f"across = {schedule.right}", "across_row = 0")
            tiles(text, schedule, [], rows, left_row, "ending" if has_ending else "0")


def one_part(text: Source, schedule: Product, outer: list[Loop], width: int) -> None:
    """Where the rows of the panel lie for this part of the summed axes; ragged ones of an unpacked operand are copied,
    since tiles read whole vectors."""
    if schedule.packed:
        whole = product(loop.extent for loop in schedule.inner[len(outer) :])
        place = [("offset", 1), *terms(outer, inner_steps(outer, whole * width)), ("low", width)]
        text(f"across = moved_{schedule.dtype}({schedule.right}, {sum_text(place)})", f"across_row = {width}")
        return
    strides = schedule.right_strides
    step = step_of(schedule, strides)
    place = [("offset", 1), *terms(outer, strides.inner[: len(outer)]), ("low", step)]
    text(f"across = moved_{schedule.dtype}({schedule.right}, {sum_text(place)})", f"across_row = {step}")
    with text.block(f"if columns < {width}:"):
        with text.block("for place in range(depth):"):
            with text.block("for c in range(columns):"):
                text(f"edge[place * {width} + c] = across[place * across_row + c]")
            with text.block(f"for c in range(columns, {width}):"):
                text(f"edge[place * {width} + c] = {schedule.dtype}(0)")
        text("across = edge", f"across_row = {width}")


def step_of(schedule: Product, strides: Strides) -> Dim:
    """The distance between neighbours along the summed axes that are walked as one."""
    return strides.inner[-1] if schedule.run else 1


def tiles(text: Source, schedule: Product, inner: list[tuple[str, Dim]], rows: int, left_row: str, mode: str) -> None:
    """One call of the micro-kernel for each tile of the block of rows."""
    strides, moved = schedule.left_strides, f"moved_{schedule.dtype}"
    with text.block(f"for first in range(0, height, {rows}):"):
        left = sum_text([(left_row, strides.row), *terms(schedule.batch, strides.batch), *inner])
        given = (
            f"{moved}({schedule.left}, {left}), {strides.row}, {step_of(schedule, strides)}, across, across_row, depth"
        )
        target = f"{moved}(target, first * target_row), target_row, min({rows}, height - first)"
        bias = "target" if mode in ("again", "0") else "bias"
        text(f"multiply_tile_{schedule.dtype}x{schedule.vectors}({given}, {target}, {mode}, {bias})")


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
