"""CUDA threads that share a row: strided loops, and the tree in which their partial results meet.

A team is one thread, one warp, or one block. Thread `lane` of it takes elements lane, lane + width, ... of the row, the
same ones in every loop, so what a loop stored for a later one to read was stored by the thread that reads it.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

from kgraph.codegen.schedule.kernel import Accumulator, Block, Find, Fold, Lines, Nest, Sweep
from kgraph.codegen.schedule.source import Source, closed, combined, digits, write
from kgraph.codegen.schedule.values import constructor
from kgraph.graph.index import Loop
from kgraph.graph.sizes import Dim, product
from kgraph.graph.types import is_float

WARP = 32
FULL_WARP = "0xFFFFFFFF"
CARRIERS = {  # of dtypes that shuffles do not take: the ones in which their values pass between threads
    **dict.fromkeys(("bool", "int8", "int16", "uint8", "uint16"), "int32"),
    **dict.fromkeys(("uint32", "uint64"), "int64"),
}


@dataclass(frozen=True)
class Geometry:
    """How many threads share the work. The results of reductions depend on it, so it is the same for all GPUs."""

    threads: int = 256  # of a block, where nothing else decides
    most_blocks: int = 4096  # of a loop over elements: each thread takes more than one where there are more
    rows: int = 8  # teams of one warp in a block; and how many threads share a column
    side: int = 16  # threads along each side of a product's tile
    each: int = 4  # rows, and columns, of the tile that one thread adds up
    depth: int = 16  # how much of the summed axis is in shared memory at a time
    tensor_cores: bool = True  # multiply halves (see tensor.py), with
    warps: tuple[int, int] = (2, 4)  # down and across in a block's tile,
    tiles: int = 2  # down and across, of each of them,
    steps: int = 2  # so many instructions for each of these at a time


GPU = Geometry()
TINY = Geometry(
    64, 2, 2, 4, 2, 4, warps=(1, 2), tiles=1, steps=1
)  # for the emulation of small shapes: every loop and every edge, few threads


@dataclass(frozen=True)
class Launch:
    """The grid of a kernel, an expression in the kernel's sizes, and the threads of each block."""

    blocks: Dim
    threads: tuple[int, ...]


@dataclass(frozen=True)
class Team:
    """The threads that do one row: 1, a warp of 32, or a block of several warps."""

    width: int

    @property
    def is_one(self) -> bool:
        return self.width == 1


def row_length(schedule: Nest) -> Dim | None:
    """How many elements the reductions of each row have; None where there are none."""
    for block in schedule.blocks:
        if isinstance(block, Fold):
            return product(loop.extent for loop in block.loops)
        if isinstance(block, Find):
            return block.loop.extent
    return None


def taken_apart(text: Source, loops: Sequence[Loop]) -> None:
    """The values of these loops for this block; their combinations are the grid."""
    if any(loop.extent != 1 for loop in loops):
        text("part = int64(cuda.blockIdx.x)")
    text(*named(loops))


def named(loops: Sequence[Loop], position: str = "part") -> list[str]:
    """The values of these loops at a position."""
    moving = [loop for loop in loops if loop.extent != 1]
    fixed = [f"{loop.name} = 0" for loop in loops if loop.extent == 1]
    return fixed if [loop.name for loop in moving] == [position] else [*digits(position, moving), *fixed]


def one_block(text: Source, block: Block, team: Team) -> None:
    """What a team does for one row."""
    if isinstance(block, Lines):
        text(*block.lines)
        if team.is_one:
            write(text, *block.stores)
        elif block.stores:
            with text.block("if lane == 0:"):
                write(text, *block.stores)
    elif isinstance(block, Fold):
        text(*(f"{one.name} = {one.initial}" for one in block.accumulators))
        with shared_loops(text, block.loops, team):
            text(*block.lines)
            write(text, *block.stores)
            text(*(f"{one.name} = {combined(one, one.name)}" for one in block.accumulators))
        if not team.is_one:
            meet(text, block.accumulators, team)
    elif isinstance(block, Sweep):
        with shared_loops(text, block.loops, team):
            text(*block.lines)
            write(text, *block.stores)
    else:
        find(text, block, team)


@contextmanager
def shared_loops(text: Source, loops: Sequence[Loop], team: Team) -> Iterator[None]:
    """Loops whose iterations the team shares; one thread runs them as they are."""
    if team.is_one:
        with text.loops(list(loops)):
            yield
        return
    single = loops[0].name if len(loops) == 1 else "place"
    with text.block(f"for {single} in range(lane, {product(loop.extent for loop in loops)}, {team.width}):"):
        if len(loops) > 1:
            text(*digits("place", loops))
        yield


def meet(text: Source, accumulators: Sequence[Accumulator], team: Team) -> None:
    """From each thread's accumulators to those of the row, which every thread of the team then has."""
    for one in accumulators:
        for step in shuffles():
            passed = f"cuda.shfl_xor_sync({FULL_WARP}, {carried(one)}, {step})"
            text(f"{one.name} = {one.combine.format(one.name, held(one, passed))}")
    if team.width == WARP:
        return
    warps = team.width // WARP
    for one in accumulators:
        text(f"{one.name}_warps = cuda.shared.array({warps}, {carrier(one.dtype)})")
    with text.block(f"if lane % {WARP} == 0:"):
        text(*(f"{one.name}_warps[lane // {WARP}] = {carried(one)}" for one in accumulators))
    text("cuda.syncthreads()")
    text(*(f"{one.name} = {held(one, f'{one.name}_warps[0]')}" for one in accumulators))
    with text.block(f"for warp in range(1, {warps}):"):
        for one in accumulators:
            text(f"{one.name} = {one.combine.format(one.name, held(one, f'{one.name}_warps[warp]'))}")


def find(text: Source, block: Find, team: Team) -> None:
    """The position of the first extreme element.

    Threads tell each other positions, and read the elements there again: those may be of a dtype shuffles do not take.
    """
    loop, found = block.loop, block.found
    text(f"{found} = 0")
    if team.is_one:
        with text.loops([loop]):
            candidate(text, block, better(block), f"{loop.name} == 0")
        return
    with text.block(f"for first in range(0, {loop.extent}, {team.width}):"):
        text(f"{loop.name} = min(first + lane, {closed(str(loop.extent))} - 1)")
        candidate(text, block, better(block), "first == 0")
    earlier = f"not {closed(block.better.format('element', 'best'))} and {loop.name} < {found}"
    wins = f"{better(block)} or ({earlier})"
    for step in shuffles():
        text(f"{loop.name} = cuda.shfl_xor_sync({FULL_WARP}, {found}, {step})")
        candidate(text, block, wins)
    if team.width == WARP:
        return
    warps = team.width // WARP
    text(f"{found}_warps = cuda.shared.array({warps}, int64)")
    with text.block(f"if lane % {WARP} == 0:"):
        text(f"{found}_warps[lane // {WARP}] = {found}")
    text("cuda.syncthreads()")
    with text.block(f"for warp in range({warps}):"):
        text(f"{loop.name} = {found}_warps[warp]")
        candidate(text, block, wins)


def candidate(text: Source, block: Find, wins: str, begins: str = "") -> None:
    """Compare the element at the loop's place with the best so far, of which there is none where a search begins."""
    found = ("best = element", f"{block.found} = {block.loop.name}")
    text(*block.lines, f"element = {block.value}")
    if begins:
        with text.block(f"if {begins}:"):
            text(*found)
    with text.block(f"if {wins}:"):
        text(*found)


def better(block: Find) -> str:
    """Whether `element` is better than `best`."""
    return closed(block.better.format("best", "element"))


def shuffles() -> list[int]:
    """How far apart the lanes are that exchange values, step by step: 16, 8, 4, 2, 1."""
    return [WARP >> step for step in range(1, WARP.bit_length())]


def carrier(dtype: str) -> str:
    """The dtype in which a value passes between threads."""
    return CARRIERS.get(dtype, dtype)


def carried(one: Accumulator) -> str:
    """An accumulator as it passes between threads; numba makes int64 of sums of integers."""
    return one.name if is_float(one.dtype) else f"{carrier(one.dtype)}({one.name})"


def held(one: Accumulator, passed: str) -> str:
    """What came from another thread, as the accumulator's dtype."""
    return f"{constructor(one.dtype)}({passed})" if one.dtype in CARRIERS else passed
