"""Where progress is shown: a live line on a terminal or in a notebook, and whole lines in a log."""

from __future__ import annotations

import os
import sys
from typing import Any, Protocol

from kgraph.callbacks.status import Status
from kgraph.errors import ArgumentError


class Display(Protocol):
    """What shows the status of one epoch."""

    def begin(self, heading: str) -> None:
        """An epoch begins."""

    def show(self, status: Status) -> None:
        """Show how things stand."""

    def finish(self, status: Status) -> None:
        """Show how things ended; nothing follows."""

    def close(self) -> None:
        """Leave the screen in order, if the end was not reached."""


class Lines:
    """A line for each epoch when it has ended, without control characters: for files, pipes and logs."""

    def __init__(self, console: Any = None) -> None:
        self.console = console

    def begin(self, heading: str) -> None:
        """Nothing: the line begins with it."""

    def show(self, status: Status) -> None:
        """Nothing: a line is written once."""

    def finish(self, status: Status) -> None:
        """Write the line."""
        stream = self.console.file if self.console is not None else sys.stdout
        if stream is None:  # pythonw, services
            return
        encoding = getattr(stream, "encoding", None) or "utf-8"
        stream.write(str(status).encode(encoding, "backslashreplace").decode(encoding) + "\n")
        stream.flush()

    def close(self) -> None:
        """Nothing is open."""


def check_verbose(verbose: Any, console: Any = None) -> int:
    """0, 1 or 2. "auto" is 1 where a person watches, on a terminal or in a notebook, and 2 elsewhere."""
    if isinstance(verbose, str) and verbose == "auto":
        return 1 if place(console) != "log" else 2
    if not isinstance(verbose, str) and verbose in (0, 1, 2):
        return int(verbose)
    raise ArgumentError(f"verbose wants 0, 1, 2 or 'auto', not {verbose!r:.60}")


def display(verbose: int, console: Any = None) -> Display:
    """A display for one epoch."""
    where = place(console) if verbose == 1 else "log"
    if where == "log":
        return Lines(console)
    from kgraph.callbacks import live

    return live.NotebookLine() if where == "notebook" else live.TerminalLine(console)


def place(console: Any = None) -> str:
    """ "terminal", "notebook" or "log": what stdout is, or the rich console given.

    A terminal that another live display of rich has taken over counts as a log: lines go through to it, and two
    displays would write over each other.
    """
    if console is not None:
        if console.is_jupyter:
            return "notebook"
        return "terminal" if console.is_terminal and not console.is_dumb_terminal else "log"
    if in_notebook():
        return "notebook"
    taken = hasattr(sys.stdout, "rich_proxied_file")
    dumb = os.environ.get("TERM", "").lower() in ("dumb", "unknown")
    return "terminal" if sys.stdout is not None and sys.stdout.isatty() and not taken and not dumb else "log"


def in_notebook() -> bool:
    """Whether stdout is the output of a notebook's cell."""
    ipython = sys.modules.get("IPython")
    shell = ipython.get_ipython() if ipython is not None else None
    if shell is None:
        return False
    return type(shell).__name__ == "ZMQInteractiveShell" or "google.colab" in type(shell).__module__
