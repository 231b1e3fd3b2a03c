"""Objects by name and by configuration: losses, activations, initializers, regularizers, constraints share this."""

from __future__ import annotations

import inspect
import re
from collections.abc import Mapping
from difflib import get_close_matches
from typing import Any, Self

from kgraph import registry
from kgraph.errors import ArgumentError

# Where Keras has the classes of a package of ours: elsewhere than under the same name.
PLACES = {
    "models.functional": "keras.src.models.functional",
    "models": "keras",
    "optimizers.schedules": "keras.optimizers.schedules",
    "config": "keras",
}
NAMES_IN_KERAS = {"GroupedQueryAttention": "GroupQueryAttention"}


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
    """The entry of this name, the user's own first; ArgumentError with the nearest names otherwise."""
    found = registry.get_registered_object(name, None, known)
    if found is not None:
        return found
    short = list(filter(str.islower, known))
    names = {one.lower(): one for one in short or known}
    near = [names[one] for one in get_close_matches(name.lower(), names)]
    hint = f"known: {', '.join(short)}"
    if near:
        hint = f"did you mean {' or '.join(map(repr, near))}?"
    elif not short:
        hint = (
            f"give custom_objects={{{name!r}: ...}}, or register it with @kgraph.saving.register_keras_serializable()"
        )
    raise ArgumentError(f"unknown {kind} {name!r}; {hint}")


def from_config(config: Mapping[str, Any], known: Mapping[str, Any], kind: str) -> Any:
    """The object or function that `to_config` described."""
    name, inner = config["class_name"], config.get("config")
    if name == "function":
        return named(str(inner), known, kind)
    found = registry.get_registered_object(config.get("registered_name") or name, known)
    found = named(name, known, kind) if found is None else found
    package = (config.get("module") or "keras").split(".")[0]
    if package not in ("keras", "kgraph", "builtins") and found.__module__.startswith("kgraph."):
        raise ArgumentError(
            f"the {kind} {name!r} is of {config['module']!r}, which is not kgraph; register it with "
            f"@kgraph.saving.register_keras_serializable(), or give custom_objects={{{name!r}: ...}}"
        )
    return found.from_config(dict(inner or {})) if hasattr(found, "from_config") else found


def to_config(value: Any) -> Any:
    """A description of an object or function that `find` understands, in the form Keras writes; None for None."""
    if value is None or isinstance(value, (str, dict)):
        return value
    if hasattr(value, "get_config") and not inspect.isclass(value):
        module, name = home(type(value))
        registered = None if module.split(".")[0] == "keras" else registry.get_registered_name(type(value))
        config = {"module": module, "class_name": name, "config": value.get_config(), "registered_name": registered}
        number = registry.shared_number(value) if hasattr(value, "inbound_nodes") else None
        return config if number is None else {**config, "shared_object_id": number}
    if not hasattr(value, "__name__"):
        raise ArgumentError(f"{value!r:.60} has neither a get_config nor a name, so no config describes it")
    name = registry.get_registered_name(value)
    return {"module": "builtins", "class_name": "function", "config": name, "registered_name": "function"}


def home(cls: type) -> tuple[str, str]:
    """The module and name that configurations give for a class: those of Keras for one of ours."""
    module, name = cls.__module__, cls.__name__
    if not module.startswith("kgraph."):
        return module, name
    parts = module.split(".")[1:]
    place = PLACES.get(".".join(parts[:2])) or PLACES.get(parts[0]) or f"keras.{parts[0]}"
    return place, NAMES_IN_KERAS.get(name, name)
