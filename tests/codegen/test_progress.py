"""The line of a long compilation: only after a while, only where a person watches, and gone at the end."""

from __future__ import annotations

import io
import logging
import threading
from types import SimpleNamespace

import pytest

from kgraph.codegen import progress
from kgraph.codegen.progress import Progress


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.fixture
def terminal(monkeypatch: pytest.MonkeyPatch) -> Terminal:
    """A terminal for stderr, in a program that draws nothing else."""
    made = Terminal()
    monkeypatch.setattr(progress, "sys", SimpleNamespace(stderr=made, modules={}))
    return made


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(progress, "PATIENCE", 0.0)


def compile_two() -> None:
    with Progress(2) as shown:
        shown.reached(1)
        shown.reached(2)


def test_a_short_compilation_says_nothing(terminal, caplog):
    with caplog.at_level(logging.INFO, "kgraph"):
        compile_two()
    assert terminal.getvalue() == ""
    assert not caplog.records


def test_a_terminal_shows_one_line_that_is_gone_at_the_end(terminal, impatient):
    threads = threading.active_count()
    compile_two()
    first, second = "kgraph: compiling kernel 1 of 2", "kgraph: compiling kernel 2 of 2"
    assert terminal.getvalue() == f"\r{first}\r{second}\r{' ' * len(second)}\r"
    assert threading.active_count() == threads


def test_the_line_is_gone_after_an_error_too(terminal, impatient):
    with pytest.raises(KeyboardInterrupt), Progress(9) as shown:
        shown.reached(1)
        raise KeyboardInterrupt
    assert terminal.getvalue().endswith(" \r")


def test_elsewhere_it_is_for_the_log(monkeypatch, impatient, caplog, capsys):
    with caplog.at_level(logging.INFO, "kgraph"):
        compile_two()
    assert caplog.messages == ["kgraph: compiling kernel 1 of 2", "kgraph: compiling kernel 2 of 2"]
    assert capsys.readouterr() == ("", "")


@pytest.mark.parametrize("stderr", [None, Terminal()])
def test_nothing_is_drawn_where_nobody_watches_or_something_else_is_drawn(monkeypatch, impatient, stderr):
    monkeypatch.setattr(progress, "sys", SimpleNamespace(stderr=stderr, modules={"rich.live": None}))
    compile_two()
    assert stderr is None or stderr.getvalue() == ""
