"""What a person sees of a compilation that takes longer than a second: one line, which is gone at the end."""

from __future__ import annotations

import logging
import sys
import time
from types import TracebackType

PATIENCE = 1.0  # seconds before anything is said, and between two messages in a log
log = logging.getLogger("kgraph")


class Progress:
    """How many of `total` kernels are done: a line on a terminal, elsewhere messages to the logger "kgraph" at INFO.

    It writes when `reached` is called, and at no other time, so that it disturbs no display of the user's; where the
    program draws one of its own with rich, it keeps to the log.
    """

    def __init__(self, total: int) -> None:
        self.total, self._width = total, 0
        self._next = time.monotonic() + PATIENCE

    def __enter__(self) -> Progress:
        return self

    def __exit__(self, kind: type | None, error: BaseException | None, trace: TracebackType | None) -> None:
        if self._width:
            self._write("")

    def reached(self, number: int) -> None:
        """The kernel that is compiled now, counted from 1."""
        if time.monotonic() < self._next:
            return
        text = f"kgraph: compiling kernel {number} of {self.total}"
        if on_terminal():
            self._write(text)
        else:
            log.info(text)
            self._next += PATIENCE

    def _write(self, text: str) -> None:
        """Replace what the line says."""
        sys.stderr.write(f"\r{text:{self._width}}" + ("" if text else "\r"))
        sys.stderr.flush()
        self._width = len(text)


def on_terminal() -> bool:
    """Whether a line may be written: a person watches, and nothing else is drawn."""
    return sys.stderr is not None and sys.stderr.isatty() and "rich.live" not in sys.modules
