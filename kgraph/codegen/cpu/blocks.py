"""What stands inside the loops of every CPU kernel: the blocks, and the loop over a thread's part of the work."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from kgraph.codegen.schedule.kernel import GREATEST, Accumulator, Block, Find, Fold, Lines, Sweep
from kgraph.codegen.schedule.source import Source, combined, digits, write
from kgraph.graph.index import Loop
from kgraph.graph.types import is_float


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


def one_block(text: Source, block: Block) -> None:
    """What happens for one value of the parallel index."""
    if isinstance(block, Lines):
        text(*block.lines)
        write(text, *block.stores)
    elif isinstance(block, Fold):
        text(*(f"{one.name} = {one.initial}" for one in block.accumulators))
        with text.loops(list(block.loops)):
            text(*block.lines)
            write(text, *block.stores)
            text(*(f"{one.name} = {summed(one)}" for one in block.accumulators))
        text(*(f"{one.name} = settled({one.name})" for one in block.accumulators if one.combine == GREATEST))
    elif isinstance(block, Sweep):
        with in_bands(text, block) if block.band else text.loops(list(block.loops)):
            text(*block.lines)
            write(text, *block.stores)
    else:
        find(text, block)


@contextmanager
def in_bands(text: Source, block: Sweep) -> Iterator[None]:
    """The loops, for one band of the last of them after the other: what depends on that one alone stays in registers.

    The pieces have a length that LLVM knows, so that each becomes one vector.
    """
    *around, last = block.loops
    with (
        text.block(f"for band in range(0, {last.extent}, {block.band}):"),
        text.loops(around),
        text.block(f"for {last.name} in range(band, band + {block.band}):"),
    ):
        yield


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
