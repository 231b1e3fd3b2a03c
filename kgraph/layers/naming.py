"""Names nobody chose: dense, dense_1, ..., and the scopes that weights' paths are made of."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

from kgraph.errors import ArgumentError
from kgraph.graph.sizes import forget_axes
from kgraph.named import snake_case

_counts: dict[str, int] = {}
_scopes: ContextVar[tuple[tuple[str, Any], ...]] = ContextVar("scopes", default=())


def automatic_name(class_name: str) -> str:
    """The next free name for an object of this class: dense, dense_1, dense_2."""
    stem = snake_case(class_name)
    number = _counts.get(stem, 0)
    _counts[stem] = number + 1
    return f"{stem}_{number}" if number else stem


def checked_name(name: Any, class_name: str) -> str:
    """The name a user chose for a layer or model, or an automatic one for None."""
    if name is None:
        return automatic_name(class_name)
    if not isinstance(name, str) or not name or "/" in name:
        raise ArgumentError(f"the name of a {class_name} must be a string without '/', not {name!r}")
    return name


def forget_names() -> None:
    """Start all numbers anew, as `clear_session` does."""
    _counts.clear()
    forget_axes()


@contextmanager
def name_scope(name: str, caller: Any = None) -> Iterator[None]:
    """Inside the block, paths of new weights start with `name`. A caller that opened the scope already adds nothing."""
    scopes = _scopes.get()
    inside = caller is not None and bool(scopes) and scopes[-1][1] is caller
    token = _scopes.set(scopes if inside else (*scopes, (name, caller)))
    try:
        yield
    finally:
        _scopes.reset(token)


@contextmanager
def outermost() -> Iterator[None]:
    """Inside the block, paths start at the top: layers of a model are named without the model."""
    token = _scopes.set(())
    try:
        yield
    finally:
        _scopes.reset(token)


def path_of(name: str) -> str:
    """The path of a weight created here: scopes and name, joined by slashes."""
    return "/".join(filter(None, (path_here(), name)))


def path_here() -> str:
    """The names of the scopes that are open, joined by slashes."""
    return "/".join(scope for scope, _ in _scopes.get() if scope)


def label_of(name: str) -> str:
    """What graphs call a weight created here: its path, which begins anew inside of a stack of layers."""
    inner: list[str] = []
    for scope, caller in _scopes.get():
        inner = [] if getattr(caller, "is_stack", False) else [*inner, scope]
    return ".".join([*filter(None, inner), name])
