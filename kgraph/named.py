"""Objects by name and by configuration: losses, regularizers, constraints share this."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from difflib import get_close_matches
from typing import Any

from kgraph.errors import ArgumentError


class Configured:
    """An object described by the arguments of its constructor, which it keeps in attributes of the same names."""

    def get_config(self) -> dict[str, Any]:
        """The arguments that make this object again."""
        parameters = list(inspect.signature(type(self).__init__).parameters.values())[1:]
        return {
            one.name: getattr(self, one.name)
            for one in parameters
            if one.kind not in (one.VAR_KEYWORD, one.VAR_POSITIONAL)
        }

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> Any:
        """The object that `get_config` described."""
        return cls(**config)


def find(identifier: Any, known: Mapping[str, Any], kind: str, base: type) -> Any:
    """What a name, a config, a class or the object itself means; None for None. ArgumentError for anything else."""
    if identifier is None or isinstance(identifier, base):
        return identifier
    if isinstance(identifier, dict) and "class_name" in identifier:
        return from_config(identifier, known, kind)
    if isinstance(identifier, str):
        found = named(identifier, known, kind)
        return found() if inspect.isclass(found) else found
    if inspect.isclass(identifier):
        return identifier()
    if callable(identifier):
        return identifier
    raise ArgumentError(f"{identifier!r:.60} is no {kind}: give a name, a function, or an object")


def named(name: str, known: Mapping[str, Any], kind: str) -> Any:
    """The entry of this name; ArgumentError with the nearest names otherwise."""
    if name in known:
        return known[name]
    near = get_close_matches(name.lower(), known, n=3)
    raise ArgumentError(f"unknown {kind} {name!r}; {f'did you mean {near}?' if near else f'known: {sorted(known)}'}")


def from_config(config: Mapping[str, Any], known: Mapping[str, Any], kind: str) -> Any:
    """The object that `to_config` described."""
    if config["class_name"] == "function":
        return named(config["config"], known, kind)
    found = named(config["class_name"], known, kind)
    return found.from_config(config.get("config") or {})


def to_config(value: Any, module: str) -> Any:
    """A description of an object or function that `find` understands; None for None."""
    if value is None or isinstance(value, (str, dict)):
        return value
    if not hasattr(value, "get_config"):
        return {"module": "builtins", "class_name": "function", "config": value.__name__, "registered_name": "function"}
    ours = type(value).__module__.startswith("kgraph.")
    return {
        "module": f"keras.{module}" if ours else type(value).__module__,
        "class_name": type(value).__name__,
        "config": value.get_config(),
        "registered_name": None if ours else type(value).__name__,
    }
