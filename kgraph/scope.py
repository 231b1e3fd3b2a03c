"""Which trace is under way: whether functions compute, or become a graph."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

_active: ContextVar[Trace | None] = ContextVar("active", default=None)


class Trace:
    """What a function does besides returning something: new values of state, and losses."""

    def __init__(self, parent: Trace | None, scope: str, training: bool | None) -> None:
        self.parent = parent
        self.scope: str = f"{parent.scope}{scope}/" if parent and scope else f"{scope}/" if scope else ""
        self.training = training
        self.updates: dict[Any, Any] = {}  # variable -> the symbol of its value from here on
        self.losses: list[Any] = []
        self.autocast: str | None = parent.autocast if parent else None  # the float type that variables are read in


@contextmanager
def tracing(scope: str = "", training: bool | None = None) -> Iterator[Trace]:
    """Inside the block, variables stand for symbols and assignments are recorded."""
    parent = _active.get()
    inherited = parent.training if parent is not None and training is None else training
    trace = Trace(parent, scope, inherited)
    token = _active.set(trace)
    try:
        yield trace
    finally:
        _active.reset(token)


@contextmanager
def suspended() -> Iterator[None]:
    """Inside the block, no trace is under way: weights are made with numbers, wherever their layer is first called."""
    token = _active.set(None)
    try:
        yield
    finally:
        _active.reset(token)


def active() -> Trace | None:
    """The innermost trace under way."""
    return _active.get()
