"""What a person would see of text with control characters."""

from __future__ import annotations

import io
import re
from dataclasses import dataclass, field

from rich.console import Console

PIECE = re.compile(r"\x1b\[(?P<mode>\?)?(?P<number>[\d;]*)(?P<command>[A-Za-z])|(?P<letter>.)", re.DOTALL)


@dataclass
class Screen:
    """The lines of a terminal, and whether it shows its cursor."""

    lines: list[list[str]] = field(default_factory=lambda: [[]])
    row: int = 0
    column: int = 0
    cursor: bool = True

    def write(self, text: str) -> Screen:
        """Do what the text says."""
        for piece in PIECE.finditer(text):
            if piece["letter"]:
                self._letter(piece["letter"])
            else:
                self._command(piece["command"], piece["number"], bool(piece["mode"]))
        return self

    def _letter(self, letter: str) -> None:
        if letter == "\r":
            self.column = 0
        elif letter == "\b":
            self.column = max(self.column - 1, 0)
        elif letter == "\n":
            self.row, self.column = self.row + 1, 0
            self.lines += [[]] * (self.row >= len(self.lines))
            self.lines = [list(line) for line in self.lines]
        else:
            line = self.lines[self.row]
            line += " " * (self.column + 1 - len(line))
            line[self.column] = letter
            self.column += 1

    def _command(self, command: str, number: str, private: bool) -> None:
        if private:
            assert number == "25", f"unknown mode {number}"
            self.cursor = command == "h"
        elif command == "K":
            self.lines[self.row] = []
        elif command == "A":
            self.row -= int(number or 1)
        else:
            assert command == "m", f"unknown command {command}"

    @property
    def text(self) -> list[str]:
        """The lines, without blanks at their ends."""
        return ["".join(line).rstrip() for line in self.lines]


def terminal(width: int = 120) -> Console:
    """A console that takes the file it writes to for a terminal."""
    return Console(file=io.StringIO(), force_terminal=True, width=width, color_system="standard", _environ={})


def log() -> Console:
    """A console that writes to a file."""
    return Console(file=io.StringIO(), force_terminal=False, _environ={})


def written(console: Console) -> str:
    """What went to the console, control characters and all."""
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


def seen(console: Console) -> list[str]:
    """The lines on the screen."""
    return Screen().write(written(console)).text


class Clock:
    """Time that passes when told to, in the place of the modules' `time`."""

    def __init__(self) -> None:
        self.now = 100.0

    def monotonic(self) -> float:
        return self.now

    time = monotonic
