"""Rows of a left operand copied apart from each other, for the CPU."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace

from kgraph.codegen.schedule.apart import APART, WAYS
from kgraph.codegen.schedule.kernel import Product, Strides
from kgraph.codegen.schedule.source import Source, closed, size_text, sum_text, terms, walked
from kgraph.graph.index import Loop
from kgraph.graph.sizes import axis

PITCH = axis("pitch")  # what the kernel calls the distance of the rows


@contextmanager
def rows_apart(text: Source, schedule: Product, rows: int) -> Iterator[None]:
    """With memory for so many rows of the left operand, if these are to be copied: for one panel alone they are not."""
    if not schedule.apart:
        yield
        return
    text("several = True" if schedule.whole_rows else "several = end - begin > 1")
    text(f"copies = room_{schedule.dtype}({rows} * {closed(str(schedule.depth + APART))} if several else 0)")
    text("copied = -1")
    yield
    with text.block("if not is_nowhere(copies):"):
        text("give_back(copies)")


def read_apart(text: Source, schedule: Product, blocks: Sequence[Loop]) -> Product:
    """The product of the rows from `top` on, as many as `height`, where they are best read: the first of them is 0.

    Where there is no memory, or there are few, that is where they lie. blocks: the loops that tell them from other
    rows; those copied last are not copied again.
    """
    strides, depth = schedule.left_strides, schedule.depth
    place = sum_text([("top", strides.row), *terms(schedule.batch, strides.batch)])
    text(f"rows = moved_{schedule.dtype}({schedule.left}, {place})", f"pitch = {strides.row}")
    with text.block(f"if several and height >= {WAYS} and not is_nowhere(copies):"):
        with text.block(f"if copied != {walked(blocks)}:"):
            text(f"copied = {walked(blocks)}")
            with text.block("for r in range(height):"), text.block(f"for k in range({depth}):"):
                text(f"copies[r * {closed(str(depth + APART))} + k] = rows[r * {size_text(strides.row)} + k]")
        text("rows = copies", f"pitch = {depth + APART}")
    return replace(schedule, left="rows", left_strides=Strides((0,) * len(schedule.batch), PITCH, strides.inner))
