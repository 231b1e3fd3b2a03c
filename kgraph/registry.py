"""Classes and functions of the user's that configurations name, and objects that several configurations share."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any, Self, TypeVar

from kgraph.errors import ArgumentError

Thing = TypeVar("Thing")
_objects: dict[str, Any] = {}
_names: dict[Any, str] = {}
_scopes: ContextVar[Mapping[str, Any]] = ContextVar("custom_objects", default={})  # noqa: B039 - never written to
_written: ContextVar[dict[int, tuple[int, Any]] | None] = ContextVar("written", default=None)
_read: ContextVar[dict[int, Any] | None] = ContextVar("read", default=None)


def register_keras_serializable(package: str = "Custom", name: str | None = None) -> Callable[[Thing], Thing]:
    """A decorator that makes a class or function known to configurations, as "package>name".

    name defaults to the object's own. ArgumentError for a class without get_config.
    """
    if not isinstance(package, str):
        raise ArgumentError(f"write @register_keras_serializable() with its brackets; {package!r:.60} is no package")

    def register(thing: Thing) -> Thing:
        if inspect.isclass(thing) and not hasattr(thing, "get_config"):
            raise ArgumentError(f"{thing.__name__} has no get_config, so no configuration could describe its objects")
        known_as = f"{package}>{name if name is not None else thing.__name__}"  # type: ignore[attr-defined]
        _objects[known_as] = thing
        _names[thing] = known_as
        return thing

    return register


def get_custom_objects() -> dict[str, Any]:
    """What is registered, by name; changes to it count."""
    return _objects


def get_registered_name(obj: Any) -> str:
    """The name a class or function is registered under, or its own."""
    return _names.get(obj, obj.__name__)


def get_registered_object(
    name: str | None, custom_objects: Mapping[str, Any] | None = None, module_objects: Mapping[str, Any] | None = None
) -> Any:
    """The class or function of this name: of an open scope, registered, or in one of these tables; None for none."""
    for table in (_scopes.get(), _objects, custom_objects or {}, module_objects or {}):
        if name is not None and name in table:
            return table[name]
    return None


class CustomObjectScope:
    """Inside the `with` block, configurations may name these classes and functions."""

    def __init__(self, custom_objects: Mapping[str, Any] | None) -> None:
        self.custom_objects = dict(custom_objects or {})
        self._tokens: list[Any] = []

    def __enter__(self) -> Self:
        self._tokens.append(_scopes.set({**_scopes.get(), **self.custom_objects}))
        return self

    def __exit__(self, *_: object) -> None:
        _scopes.reset(self._tokens.pop())


custom_object_scope = CustomObjectScope


# What several configurations share: a layer that two models of one file hold is one layer again.


@contextmanager
def sharing() -> Iterator[None]:
    """Inside the block, configurations of layers carry numbers, and equal numbers are read as one object."""
    tokens = _written.set({}), _read.set({})
    try:
        yield
    finally:
        _written.reset(tokens[0])
        _read.reset(tokens[1])


def shared_number(thing: Any) -> int | None:
    """The number of an object in the configuration that is being written; None outside of `sharing`."""
    numbers = _written.get()
    if numbers is None:
        return None
    return numbers.setdefault(id(thing), (len(numbers) + 1, thing))[0]  # kept, so that no other gets its id


def shared_object(number: Any) -> Any:
    """The object with this number in the configuration that is being read; None if there is none yet."""
    found = _read.get()
    return None if found is None or not isinstance(number, int) else found.get(number)


def share(number: Any, thing: Any) -> None:
    """Note the object of a number in the configuration that is being read."""
    found = _read.get()
    if found is not None and isinstance(number, int):
        found[number] = thing
