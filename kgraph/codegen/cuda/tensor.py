"""Products of halves on CUDA by the tensor cores, which add up in float32.

A block has a tile of the product, and each of its warps a part of that: some tiles of 16 x 8, whose sums lie in the
registers of its 32 lanes. `mma_float16` adds to such a tile the product of 16 x 16 and 16 x 8 halves. What lane
4 * group + place has of these is said in "Parallel Thread Execution ISA", mma.m16n8k16:
  left    row group and row group + 8; the pair of columns `place`, and the one 4 pairs on
  right   column group; the pair of rows `place`, and the one 4 pairs on
  sums    row group and row group + 8; the pair of columns `place`
"""

from __future__ import annotations

from dataclasses import dataclass

from kgraph.codegen.cuda.product import at_most, begin, end_one, large_enough, offset, place, side_of
from kgraph.codegen.cuda.team import WARP, Geometry, Launch
from kgraph.codegen.schedule.kernel import Product
from kgraph.codegen.schedule.source import Source, digits, sum_text
from kgraph.graph.types import HALF

ROWS, COLUMNS, DEPTH = 16, 8, 16  # of one instruction
PAIRS = DEPTH // 2  # halves lie in shared memory as pairs along the summed axis
PADDING = 4  # pairs after each row there, so that the lanes of a warp read from different banks


@dataclass(frozen=True)
class Shape:
    """A block's part of a product: rows x columns of warps, each with down x across tiles; `depth` at a time."""

    rows: int
    columns: int
    down: int
    across: int
    depth: int

    @property
    def height(self) -> int:
        return self.rows * self.down * ROWS

    @property
    def width(self) -> int:
        return self.columns * self.across * COLUMNS

    @property
    def threads(self) -> int:
        return self.rows * self.columns * WARP

    @property
    def pitch(self) -> int:
        """Pairs from one row of a tile in shared memory to the next."""
        return self.depth // 2 + PADDING

    @property
    def sums_pitch(self) -> int:
        """Elements from one row of sums in shared memory to the next."""
        return self.width + COLUMNS

    @property
    def tiles(self) -> list[tuple[int, int]]:
        """The tiles of a warp."""
        return [(m, n) for m in range(self.down) for n in range(self.across)]


def takes(schedule: Product, geometry: Geometry) -> bool:
    """Whether tensor cores make this product."""
    return geometry.tensor_cores and schedule.operand_dtype in HALF and not schedule.whole_rows


def shape_of(schedule: Product, geometry: Geometry) -> Shape:
    """Tiles no larger than the product, and larger ones where it is certain that all of the GPU gets some."""
    (rows, columns), each = geometry.warps, geometry.tiles
    side = max(rows * each * ROWS, columns * each * COLUMNS)
    each *= 2 if large_enough(schedule, 2 * side) else 1
    return Shape(
        rows,
        columns,
        at_most(each, schedule.row.extent, rows * ROWS),
        at_most(each, schedule.column.extent, columns * COLUMNS),
        geometry.steps * DEPTH,
    )


def contract(text: Source, schedule: Product, geometry: Geometry) -> Launch:
    """Tiles of the product, each finished (bias, activation, ...) before it reaches memory."""
    shape = shape_of(schedule, geometry)
    for name, size in (("left", shape.height), ("right", shape.width)):
        text(f"{name}_tile = cuda.shared.array({size * shape.pitch}, uint32, alignment=16)")
    text(f"sums = cuda.shared.array({shape.rows * ROWS * shape.sums_pitch}, float32, alignment=16)")
    text(
        "lane = cuda.threadIdx.x",
        "warp = cuda.threadIdx.y",
        f"thread = warp * {WARP} + lane",
        "group, place = lane // 4, lane % 4",
        f"warp_row, warp_column = warp // {shape.columns}, warp % {shape.columns}",
    )
    blocks = begin(text, schedule, shape)
    text(*(f"{', '.join(sums_of(m, n))} = {', '.join(['float32(0)'] * 4)}" for m, n in shape.tiles))
    with text.block(f"for done in range(0, {schedule.depth}, {shape.depth}):"):
        load(text, "left", schedule, shape)
        load(text, "right", schedule, shape)
        text("cuda.syncthreads()")
        multiply(text, schedule, shape)
        text("cuda.syncthreads()")
    finish(text, schedule, shape)
    return Launch(blocks, (WARP, shape.rows * shape.columns))


def sums_of(m: int, n: int) -> list[str]:
    """The sums that a lane has of a tile: a pair of one row, then one of the row 8 below."""
    return [f"sum{m}_{n}_{number}" for number in range(4)]


def load(text: Source, name: str, schedule: Product, shape: Shape) -> None:
    """One operand's tile into shared memory, as pairs; neighbouring threads read neighbours where they can."""
    operand, strides, loop, size, first = side_of(name, schedule, shape)
    pairs = shape.depth // 2
    with text.block(f"for item in range(thread, {size * pairs}, {shape.threads}):"):
        if strides.row == 1:
            text(f"across = item % {size}", f"pair = item // {size}")
        else:
            text(f"across = item // {pairs}", f"pair = item % {pairs}")
        text(f"{loop.name} = {first} + across", "bits = uint32(0)")
        with text.block("for half in range(2):"):
            text("inner = done + 2 * pair + half")
            with text.block(f"if {loop.name} < {loop.extent} and inner < {schedule.depth}:"):
                text(*digits("inner", schedule.inner))
                read = f"{operand}[{place(name, loop.name, schedule, strides)}]"
                text(f"bits = uint32(bits | uint32(uint32({read}) << uint32(16 * half)))")
        text(f"{name}_tile[across * {shape.pitch} + pair] = bits")


def multiply(text: Source, schedule: Product, shape: Shape) -> None:
    """Add up what is in shared memory."""
    pitch = shape.pitch
    text(f"above = (warp_row * {shape.down * ROWS} + group) * {pitch} + place")
    text(f"beside = (warp_column * {shape.across * COLUMNS} + group) * {pitch} + place")
    with text.block(f"for deep in range(0, {shape.depth // 2}, {PAIRS}):"):
        for m in range(shape.down):
            for number, distance in enumerate((0, 8 * pitch, 4, 8 * pitch + 4)):
                at = [("above", 1), ("deep", 1), *offset(m * ROWS * pitch + distance)]
                text(f"left{m}_{number} = left_tile[{sum_text(at)}]")
        for n in range(shape.across):
            for number, distance in enumerate((0, 4)):
                at = [("beside", 1), ("deep", 1), *offset(n * COLUMNS * pitch + distance)]
                text(f"right{n}_{number} = right_tile[{sum_text(at)}]")
        for m, n in shape.tiles:
            sums = ", ".join(sums_of(m, n))
            operands = [*(f"left{m}_{number}" for number in range(4)), *(f"right{n}_{number}" for number in range(2))]
            text(f"{sums} = cuda.mma_{schedule.operand_dtype}({', '.join(operands)}, {sums})")


def finish(text: Source, schedule: Product, shape: Shape) -> None:
    """Sums leave the registers through shared memory, a row of each warp's tiles at a time, so that what follows is
    printed once, and neighbouring threads write neighbouring columns."""
    pitch = shape.sums_pitch
    text(f"above = (warp_row * {ROWS} + group) * {pitch} + warp_column * {shape.across * COLUMNS} + 2 * place")
    with text.block(f"for turn in range({shape.down}):"):
        for m in range(shape.down):
            with text.block(f"if turn == {m}:"):
                for n in range(shape.across):
                    distances = (0, 1, 8 * pitch, 8 * pitch + 1)
                    for name, distance in zip(sums_of(m, n), distances, strict=True):
                        text(f"sums[{sum_text([('above', 1), *offset(n * COLUMNS + distance)])}] = {name}")
        text("cuda.syncthreads()")
        with text.block(f"for item in range(thread, {shape.rows * ROWS * shape.width}, {shape.threads}):"):
            text(
                f"down = item // {shape.width}",
                f"row = first + down // {ROWS} * {shape.down * ROWS} + turn * {ROWS} + down % {ROWS}",
                f"column = start + item % {shape.width}",
            )
            end_one(text, schedule, f"sums[down * {pitch} + item % {shape.width}]")
        text("cuda.syncthreads()")
