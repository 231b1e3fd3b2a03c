"""Objects by name and by configuration: losses, activations, initializers, regularizers, constraints share this."""

from __future__ import annotations

import inspect
import re
from collections.abc import Mapping
from difflib import get_close_matches
from typing import Any, Self

from kgraph.errors import ArgumentError


def snake_case(name: str) -> str:
    """einsum_dense for EinsumDense."""
    name = re.sub(r"\W+", "", name)
    name = re.sub("(.)([A-Z][a-z]+)", r"\1_\2", name)
    return re.sub("([a-z])([A-Z])", r"\1_\2", name).lower()


class Configured:
    """An object described by the arguments of its constructor, which it keeps in attributes of the same names."""

    def get_config(self) -> dict[str, Any]:
        """The arguments that make this object again."""
        parameters = inspect.signature(type(self).__init__).parameters
        return {name: getattr(self, name) for name in parameters if name != "self" and hasattr(self, name)}

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> Self:
        """The object that `get_config` described."""
        return cls(**config)


def find(identifier: Any, known: Mapping[str, Any], kind: str) -> Any:
    """What a name, a config, a class or the object itself means; None for None. ArgumentError for anything else."""
    if identifier is None:
        return None
    if isinstance(identifier, dict) and "class_name" in identifier:
        return from_config(identifier, known, kind)
    if isinstance(identifier, str):
        identifier = named(identifier, known, kind)
    if inspect.isclass(identifier):
        return identifier()
    if callable(identifier):
        return identifier
    raise ArgumentError(f"{identifier!r:.60} is no {kind}: give a name, a config, a function, or an object")


def named(name: str, known: Mapping[str, Any], kind: str) -> Any:
    """The entry of this name; ArgumentError with the nearest names otherwise."""
    if name in known:
        return known[name]
    names = list(filter(str.islower, known))
    near = get_close_matches(name.lower(), names)
    hint = f"did you mean {' or '.join(map(repr, near))}?" if near else f"known: {', '.join(names)}"
    raise ArgumentError(f"unknown {kind} {name!r}; {hint}")


def from_config(config: Mapping[str, Any], known: Mapping[str, Any], kind: str) -> Any:
    """The object or function that `to_config` described."""
    if config["class_name"] == "function":
        return named(config["config"], known, kind)
    registered = config.get("registered_name") or ""
    found = named(config["class_name"] if registered not in known else registered, known, kind)
    return found.from_config(config.get("config") or {}) if hasattr(found, "from_config") else found


def to_config(value: Any) -> Any:
    """A description of an object or function that `find` understands, in the form Keras writes; None for None."""
    if value is None or isinstance(value, (str, dict)):
        return value
    if hasattr(value, "get_config"):
        module, name = type(value).__module__, type(value).__name__
        ours = module.startswith("kgraph.")
        return {
            "module": f"keras.{module.split('.')[1]}" if ours else module,
            "class_name": name,
            "config": value.get_config(),
            "registered_name": None if ours else name,
        }
    if not hasattr(value, "__name__"):
        raise ArgumentError(f"{value!r:.60} has neither a get_config nor a name, so no config describes it")
    return {"module": "builtins", "class_name": "function", "config": value.__name__, "registered_name": "function"}
