"""Matrix products on CUDA: tiles in shared memory, a smaller tile in the registers of each thread."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from kgraph.codegen.cuda.team import WARP, Geometry, Launch, Team, one_block, shared_loops, taken_apart
from kgraph.codegen.schedule.kernel import Product, Strides
from kgraph.codegen.schedule.source import Source, digits, strips, sum_text, terms
from kgraph.codegen.schedule.values import loaded
from kgraph.graph.index import Loop
from kgraph.graph.sizes import Dim, product

PADDING = 4  # elements after each row of a tile in shared memory, so that its columns lie in different banks
MULTIPROCESSORS = 132  # of the largest GPU in mind: tiles are large only where there are so many of them


class Tile(Protocol):
    """A block's part of a product."""

    @property
    def height(self) -> int: ...
    @property
    def width(self) -> int: ...


@dataclass(frozen=True)
class Shape:
    """A block's part of a product: side x side threads, each with `rows` x `columns` sums, `depth` at a time."""

    side: int
    rows: int
    columns: int
    depth: int

    @property
    def height(self) -> int:
        return self.side * self.rows

    @property
    def width(self) -> int:
        return self.side * self.columns

    @property
    def threads(self) -> int:
        return self.side * self.side


def shape_of(schedule: Product, geometry: Geometry) -> Shape:
    """Tiles no larger than the product, and larger ones where it is certain that all of the GPU gets some."""
    side, each = geometry.side, geometry.each
    rows, columns, depth = schedule.row.extent, schedule.column.extent, schedule.depth
    if large_enough(schedule, 2 * side * each) and schedule.dtype == "float32":
        each *= 2  # of float64, such tiles are too large for 48 KB of shared memory
    return Shape(
        side,
        at_most(each, rows, side),
        at_most(each, columns, side),
        max(1, min(geometry.depth, depth)) if isinstance(depth, int) else geometry.depth,
    )


def large_enough(schedule: Product, side: int) -> bool:
    """Whether it is certain that tiles with sides of this length keep all of a GPU busy."""
    rows, columns = schedule.row.extent, schedule.column.extent
    return isinstance(rows, int) and isinstance(columns, int) and rows * columns >= MULTIPROCESSORS * side**2


def at_most(each: int, extent: Dim, side: int) -> int:
    """How many parts of this length a tile has along an axis: no more than the axis has."""
    return max(1, min(each, -(-extent // side))) if isinstance(extent, int) else each


def contract(text: Source, schedule: Product, geometry: Geometry) -> Launch:
    """Tiles of the product, each finished (bias, activation, ...) before it reaches memory."""
    if schedule.whole_rows:
        return whole_rows(text, schedule, geometry)
    shape, dtype = shape_of(schedule, geometry), schedule.dtype
    for name, size in (("left", shape.height), ("right", shape.width)):
        text(f"{name}_tile = cuda.shared.array({shape.depth * pitch(size)}, {dtype}, alignment=16)")
    text(f"sums = cuda.shared.array({shape.side * shape.width}, {dtype}, alignment=16)")
    text("x = cuda.threadIdx.x", "y = cuda.threadIdx.y", f"thread = y * {shape.side} + x")
    blocks = begin(text, schedule, shape)
    text(*(f"total{r}_{c} = {dtype}(0)" for r in range(shape.rows) for c in range(shape.columns)))
    with text.block(f"for done in range(0, {schedule.depth}, {shape.depth}):"):
        load(text, "left", schedule, shape)
        load(text, "right", schedule, shape)
        text("cuda.syncthreads()")
        multiply(text, shape)
        text("cuda.syncthreads()")
    finish(text, schedule, shape)
    return Launch(blocks, (shape.side, shape.side))


def begin(text: Source, schedule: Product, tile: Tile) -> Dim:
    """Which tile this block makes, and where its operands begin; returns how many blocks there are."""
    tiles = [
        Loop("row_tile", strips(schedule.row.extent, tile.height)),
        Loop("column_tile", strips(schedule.column.extent, tile.width)),
    ]
    loops = (*schedule.batch, *tiles)
    taken_apart(text, loops)
    text(f"first = row_tile * {tile.height}", f"start = column_tile * {tile.width}")
    starts(text, schedule)
    return product(loop.extent for loop in loops)


def whole_rows(text: Source, schedule: Product, geometry: Geometry) -> Launch:
    """Rows of the product in full, each by a block that has it in shared memory: softmax, normalisation."""
    extent = schedule.column.extent
    assert isinstance(extent, int), "a row in shared memory has a known width"
    team = Team(min(geometry.threads, -(-extent // WARP) * WARP))
    text(f"line = cuda.shared.array({extent}, {schedule.dtype})", "lane = cuda.threadIdx.x")
    loops = (*schedule.batch, schedule.row)
    taken_apart(text, loops)
    starts(text, schedule)
    with shared_loops(text, [schedule.column], team):
        text(f"total = {schedule.dtype}(0)")
        with text.loops(list(schedule.inner)):
            factors = (
                loaded(f"{operand}[{place(name, loop.name, schedule, strides)}]", schedule.operand_dtype)
                for operand, name, loop, strides in (
                    (schedule.left, "left", schedule.row, schedule.left_strides),
                    (schedule.right, "right", schedule.column, schedule.right_strides),
                )
            )
            text(f"total += {' * '.join(factors)}")
        text(f"line[{schedule.column.name}] = total")
    text("cuda.syncthreads()")
    for one in schedule.blocks:
        one_block(text, one, team)
    return Launch(product(loop.extent for loop in loops), (team.width,))


def starts(text: Source, schedule: Product) -> None:
    """Where the operands of this batch begin."""
    if schedule.batch:
        text(f"left_start = {sum_text(terms(schedule.batch, schedule.left_strides.batch))}")
        text(f"right_start = {sum_text(terms(schedule.batch, schedule.right_strides.batch))}")


def place(name: str, along: str, schedule: Product, strides: Strides) -> str:
    """The address of an operand's element at the summed axes' loops."""
    start: list[tuple[str, Dim]] = [(f"{name}_start", 1)] if schedule.batch else []
    return sum_text([*start, (along, strides.row), *terms(schedule.inner, strides.inner)])


def pitch(size: int) -> int:
    """The distance of two rows of a tile in shared memory; a multiple of 4 where the size is one."""
    return size + PADDING


def side_of(name: str, schedule: Product, tile: Tile) -> tuple[str, Strides, Loop, int, str]:
    """An operand, its strides, the loop along it, how much of that a tile has, and the name of where this begins."""
    if name == "left":
        return schedule.left, schedule.left_strides, schedule.row, tile.height, "first"
    return schedule.right, schedule.right_strides, schedule.column, tile.width, "start"


def load(text: Source, name: str, schedule: Product, shape: Shape) -> None:
    """One operand's tile into shared memory, as [deep, across]; neighbouring threads read neighbours if they can."""
    operand, strides, loop, size, first = side_of(name, schedule, shape)
    with text.block(f"for item in range(thread, {size * shape.depth}, {shape.threads}):"):
        if strides.row == 1:
            text(f"across = item % {size}", f"deep = item // {size}")
        else:
            text(f"across = item // {shape.depth}", f"deep = item % {shape.depth}")
        text(f"{loop.name} = {first} + across", "inner = done + deep")
        text(f"element = {schedule.dtype}(0)")
        with text.block(f"if {loop.name} < {loop.extent} and inner < {schedule.depth}:"):
            text(*digits("inner", schedule.inner))
            read = f"{operand}[{place(name, loop.name, schedule, strides)}]"
            text(f"element = {loaded(read, schedule.operand_dtype)}")
        text(f"{name}_tile[uint64(deep * {pitch(size)} + across)] = element")


def multiply(text: Source, shape: Shape) -> None:
    """Add up what is in shared memory. Unsigned indices cannot be negative: no code that lets -1 mean the last one."""
    sides = (("left", "y", shape.rows, shape.height), ("right", "x", shape.columns, shape.width))
    with text.block(f"for deep in range(uint64({shape.depth})):"):
        for name, thread, count, size in sides:
            text(f"at = deep * uint64({pitch(size)}) + uint64({thread}) * uint64({count})")
            text(*(f"{name}{n} = {name}_tile[{sum_text([('at', 1), *offset(n, 'uint64')])}]" for n in range(count)))
        text(*(f"total{r}_{c} += left{r} * right{c}" for r in range(shape.rows) for c in range(shape.columns)))


def offset(number: int, kind: str = "") -> list[tuple[str, Dim]]:
    """A constant as a term of a sum, if it is not 0."""
    return [(f"{kind}({number})" if kind else str(number), 1)] if number else []


def finish(text: Source, schedule: Product, shape: Shape) -> None:
    """Sums leave the registers row by row through shared memory, so that what follows is printed once, and writes
    neighbouring columns from neighbouring threads."""
    with text.block(f"for turn in range({shape.rows}):"):
        for r in range(shape.rows):
            with text.block(f"if turn == {r}:"):
                for c in range(shape.columns):
                    text(f"sums[{sum_text([('y', shape.width), ('x', shape.columns), *offset(c)])}] = total{r}_{c}")
        text("cuda.syncthreads()")
        with text.block(f"for item in range(thread, {shape.side * shape.width}, {shape.threads}):"):
            text(f"row = first + item // {shape.width} * {shape.rows} + turn", f"column = start + item % {shape.width}")
            end_one(text, schedule, "sums[item]")
        text("cuda.syncthreads()")


def end_one(text: Source, schedule: Product, total: str) -> None:
    """What follows from one sum, if `row` and `column` lie inside of the product."""
    with text.block(f"if row < {schedule.row.extent} and column < {schedule.column.extent}:"):
        text(f"total = {total}")
        for one in schedule.blocks:
            one_block(text, one, Team(1))
