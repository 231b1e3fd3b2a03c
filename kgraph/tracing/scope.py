"""Which trace is under way: whether functions compute, or become a graph; and what stands for state meanwhile."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any, Protocol

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


class Standing(Protocol):
    """Has values that stand for those of variables."""

    losses: list[Any]

    def value_of(self, variable: Any) -> Any:
        """The value of a variable, or None where nothing stands for it."""

    def add_update(self, update: tuple[Any, Any]) -> None:
        """Take a variable's new value in the place of the variable."""

    def add_loss(self, loss: Any) -> None:
        """Take what a layer adds to the loss."""


_stands: ContextVar[Standing | None] = ContextVar("stands", default=None)


@contextmanager
def standing(values: Standing) -> Iterator[None]:
    """Inside the block, these stand for the values of variables when they are read or assigned."""
    token = _stands.set(values)
    try:
        yield
    finally:
        _stands.reset(token)


def stands() -> Standing | None:
    """What stands for the values of variables now."""
    return _stands.get()
