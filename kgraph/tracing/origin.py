"""The line of the user's program that a value comes from, for messages and comments: "mnist.py:14"."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from pathlib import Path
from types import FrameType

HERE = str(Path(__file__).parents[1])
_replay: ContextVar[tuple[str, FrameType] | None] = ContextVar("replay", default=None)  # its line, and who does it


@contextmanager
def replaying(origin: str) -> Iterator[None]:
    """Inside the block, symbols come from this line where they would come from that of who calls the caller."""
    token = _replay.set((origin, sys._getframe(2)))  # past this generator, and what contextmanager makes of it
    try:
        yield
    finally:
        _replay.reset(token)


def user_line() -> str:
    """The nearest line outside kgraph. A definition that is replayed keeps the line it was made on."""
    replay = _replay.get()
    frame: FrameType | None = sys._getframe(1)
    while frame and frame.f_code.co_filename.startswith((HERE, "<")):
        if replay and frame is replay[1]:
            return replay[0]
        frame = frame.f_back
    return f"{Path(frame.f_code.co_filename).name}:{frame.f_lineno}" if frame else ""
