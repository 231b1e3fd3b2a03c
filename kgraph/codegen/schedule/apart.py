"""Which products had better copy the rows of their left operand apart from each other.

The first cache finds a line by the lower bits of its address. Rows whose distance is a multiple of a page all begin in
one set of it, which holds fewer lines than a tile has rows: each line would be fetched again for each of its elements.
A copied block of rows serves all panels of a thread, which takes several of them for that.
"""

from __future__ import annotations

from kgraph.codegen.schedule.kernel import Product
from kgraph.graph.sizes import Dim, maximum, minimum
from kgraph.passes.chain import bytes_of

APART = 16  # elements between two rows: as much as a line, so that each begins in another set
PAGE = 4096  # bytes, after which addresses are in the same set again
WAYS = 8  # lines that a set holds
SHARES = 8  # of the work for each thread, at least


def fall_together(schedule: Product, pitch: Dim, rows: int) -> bool:
    """Whether the rows of a tile, so far from each other, all begin in one set; rows: how many it has."""
    by_pages = isinstance(pitch, int) and pitch > 0 and pitch * bytes_of(schedule.dtype) % PAGE == 0
    is_run = schedule.run == len(schedule.inner) and schedule.left_strides.inner[-1:] == (1,)
    return by_pages and is_run and rows >= WAYS and schedule.row.extent != 1


def panels_at_a_time(units: Dim, panels: Dim, threads: int) -> Dim:
    """How many panels a thread takes with the rows it copied, of so many units of work."""
    return maximum(1, minimum(panels, units // (SHARES * threads)))
