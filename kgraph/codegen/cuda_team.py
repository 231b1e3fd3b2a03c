"""CUDA threads that share a row: strided loops, and the tree in which their partial results meet.

A team is one thread, one warp, or one block. Thread `lane` of it takes elements lane, lane + width, ... of the row, the
same ones in every loop, so what a loop stored for a later one to read was stored by the thread that reads it.
"""

from __future__ import annotations

from dataclasses import dataclass

from kgraph.codegen.kernel import Accumulator, Block, Find, Fold, Lines, Nest, Sweep
from kgraph.codegen.source import Source, closed, combined, digits, write
from kgraph.codegen.values import constructor
from kgraph.index import Loop
from kgraph.sizes import Dim, product

WARP = 32
FULL_WARP = "0xFFFFFFFF"
SMALL = ("bool", "int8", "int16", "uint8", "uint16")  # dtypes that shuffles do not take


@dataclass(frozen=True)
class Geometry:
    """How many threads share the work. The results of reductions depend on it, so it is the same for all GPUs."""

    threads: int = 256  # of a block, where nothing else decides
    most_blocks: int = 4096  # of a loop over elements: each thread takes more than one where there are more
    rows: int = 8  # teams of one warp in a block; and how many threads share a column
    side: int = 16  # threads along each side of a product's tile
    each: int = 4  # rows, and columns, of the tile that one thread adds up
    depth: int = 16  # how much of the summed axis is in shared memory at a time


GPU = Geometry()
TINY = Geometry(64, 2, 2, 4, 2, 4)  # for the emulation of small shapes: every loop and every edge, few threads


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


def one_block(text: Source, block: Block, team: Team) -> None:
    """What a team does for one row."""
    if isinstance(block, Lines):
        text(*block.lines)
        if block.store and team.is_one:
            write(text, block.store)
        elif block.store:
            with text.block("if lane == 0:"):
                write(text, block.store)
    elif isinstance(block, Fold):
        text(*(f"{one.name} = {one.initial}" for one in block.accumulators))
        with shared_loops(text, block.loops, team):
            text(*block.lines)
            text(*(f"{one.name} = {combined(one, one.name)}" for one in block.accumulators))
        if not team.is_one:
            meet(text, block.accumulators, team)
    elif isinstance(block, Sweep):
        with shared_loops(text, block.loops, team):
            text(*block.lines)
            write(text, block.store)
    else:
        find(text, block, team)
