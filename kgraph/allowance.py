"""How much memory weights may take: while a file is read, no more than the file can fill."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass

from kgraph.errors import SavingError


@dataclass
class Allowance:
    """The bytes that are left, and of how many."""

    left: int
    whole: int


_current: ContextVar[Allowance | None] = ContextVar("allowance", default=None)


@contextmanager
def limited_to(size: int) -> Iterator[None]:
    """Inside the block, new weights may take this many bytes in all."""
    token = _current.set(Allowance(size, size))
    try:
        yield
    finally:
        _current.reset(token)


def spend(shape: Sequence[int], item_size: int) -> None:
    """Ask for the memory of a weight. SavingError, before anything is allocated, where the file cannot fill it."""
    allowance = _current.get()
    if allowance is None:
        return
    wanted = math.prod(map(int, shape)) * item_size
    if wanted > allowance.left:
        raise SavingError(
            f"a weight of shape {tuple(shape)} takes {wanted:,} bytes, and the file is too small to hold such a model "
            f"({allowance.left:,} of {allowance.whole:,} bytes were left for it); it is damaged, or made to do harm"
        )
    allowance.left -= wanted
