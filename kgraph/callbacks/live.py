"""Lines that change while they are looked at, drawn with rich."""

from __future__ import annotations

import sys
import weakref
from typing import Any

from rich.console import Console
from rich.text import Text

from kgraph.callbacks.status import Status


class TerminalLine:
    """A line at the bottom of a terminal. What the program prints meanwhile appears above it.

    Nothing outlives the line: no thread draws it, the cursor stays visible, and at the latest when the object is
    collected or the program ends, stdout is what it was.
    """

    def __init__(self, console: Console | None = None) -> None:
        self.console = console or Console(file=sys.stdout, force_terminal=True, highlight=False, soft_wrap=False)
        self._live: Any = None
        self._stop: Any = None
        self._plain = self.console.options.ascii_only or self.console.no_color

    def begin(self, heading: str) -> None:
        """Write the line above."""
        self.console.print(Text(heading))

    def show(self, status: Status) -> None:
        """Draw the line anew, cut off where the terminal ends."""
        text = line(status, self._plain)
        text.no_wrap, text.overflow = True, "ellipsis"
        if self._live is None:
            self._live = self._start()
        self._live.update(text, refresh=True)

    def finish(self, status: Status) -> None:
        """Leave the whole line behind."""
        text = line(status, self._plain)
        if self._live is None:  # it was over before a person would have seen the bar move
            self.console.print(text)
            return
        self._live.update(text)
        self.close()

    def close(self) -> None:
        """Stop drawing; the line stays as it is."""
        if self._live is not None:
            if hasattr(sys.stdout, "rich_proxied_file"):
                sys.stdout.flush()
            self._stop()
            self._live = None

    def _start(self) -> Any:
        from rich.live import Live  # not before it draws: who else draws on the terminal asks whether this is loaded

        watched = sys.stderr is not None and sys.stderr.isatty()
        live = Live(console=self.console, auto_refresh=False, redirect_stderr=watched)
        live.start()
        self.console.show_cursor(True)
        self._stop = weakref.finalize(self, live.stop)
        return live


class NotebookLine:
    """An output of a notebook's cell that is replaced."""

    def __init__(self) -> None:
        self._handle: Any = None

    def begin(self, heading: str) -> None:
        """Nothing: the output begins with it."""

    def show(self, status: Status) -> None:
        """Replace what is shown."""
        text = line(status, False)
        if status.heading:
            text = Text(f"{status.heading}\n").append_text(text)
        if self._handle is not None:
            self._handle.update(text)
            return
        from IPython.display import display

        self._handle = display(text, display_id=True)

    finish = show

    def close(self) -> None:
        """The output stays as it is."""


def line(status: Status, plain: bool) -> Text:
    """ "469/469 ━━━━━━━━━━━━━━━━━━━━ 2s 3ms/step - accuracy: 0.9100 - loss: 0.3000"; plain: in ASCII."""
    text = Text().append(status.count, style="bold")
    if status.fraction is not None:
        done = int(status.width * min(max(status.fraction, 0), 1))
        full, rest = ("=", ".") if plain else ("━", "━")
        text.append(" ").append(full * done, style="green").append(rest * (status.width - done), style="bright_black")
    text.append(" ").append(status.time, style="bold").append(f" {status.pace}")
    for name, value in status.values:
        text.append(f" - {name}: {value}")
    return text
