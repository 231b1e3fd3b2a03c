"""Layers as plain data: what `get_config` says of them."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

import numpy as np

from kgraph.errors import ArgumentError
from kgraph.named import to_config

SIMPLE = (str, int, float, bool, type(None))
BASE = ("name", "trainable", "dtype", "activity_regularizer")


def given(cls: type, args: tuple[Any, ...], kwargs: dict[str, Any]) -> dict[str, Any] | None:
    """The arguments of a constructor call by name, defaults included; None where they cannot be told."""
    try:
        signature = inspect.signature(cls.__init__)  # type: ignore[misc]
        bound = signature.bind(None, *args, **kwargs)
    except (TypeError, ValueError):
        return None
    bound.apply_defaults()
    found: dict[str, Any] = {}
    for name, parameter in list(signature.parameters.items())[1:]:
        value = bound.arguments[name]
        if parameter.kind is parameter.VAR_KEYWORD:
            found.update(value)
        elif parameter.kind is parameter.VAR_POSITIONAL:
            if value:
                return None
        else:
            found[name] = value
    return found


def config_of(layer: Any, base: type) -> dict[str, Any]:
    """Name, dtype and what the constructor took.

    The layers of this package keep each argument of their constructor in an attribute of the same name, so their
    configuration is read from there. For a layer of the user's that does not define `get_config`, it is what the
    constructor was called with, if that is plain data; ArgumentError otherwise.
    """
    config = {"name": layer.name, "trainable": layer.trainable, "dtype": layer.dtype_policy.name}
    if layer.activity_regularizer is not None:
        config["activity_regularizer"] = plain(layer.activity_regularizer)
    for cls in reversed(type(layer).__mro__):
        own = "__init__" in cls.__dict__ and cls.__module__.startswith("kgraph.")
        if own and cls is not base and issubclass(cls, base):
            config.update({name: plain(getattr(layer, name)) for name in arguments_of(cls) if hasattr(layer, name)})
    kind = type(layer)
    if not kind.__module__.startswith("kgraph.") and kind.get_config is base.get_config:  # type: ignore[attr-defined]
        config = of_arguments(layer, config)
    return config


def operation_config(operation: Any, base: type) -> dict[str, Any]:
    """Name and what the constructor took, of an operation that has no weights."""
    config = {"name": operation.name}
    return of_arguments(operation, config) if type(operation).get_config is base.get_config else config  # type: ignore[attr-defined]


def of_arguments(layer: Any, config: dict[str, Any]) -> dict[str, Any]:
    """The configuration of a user's layer: what its constructor was given."""
    kind = type(layer).__name__
    if layer._given is None:
        raise ArgumentError(f"{kind} takes arguments that only its own get_config can describe: define get_config")
    odd = [name for name, value in layer._given.items() if not is_plain(value)]
    if odd:
        raise ArgumentError(f"{kind}: argument {odd[0]!r} is no plain data; define get_config and from_config")
    parameters = inspect.signature(type(layer).__init__).parameters
    open_ended = any(parameter.kind is parameter.VAR_KEYWORD for parameter in parameters.values())
    kept = {name: value for name, value in config.items() if name in parameters or open_ended}
    return kept | layer._given | ({"name": layer.name} if "name" in kept else {})


def arguments_of(cls: type) -> list[str]:
    """The constructor's own arguments, those of every layer left out."""
    named = (inspect.Parameter.KEYWORD_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
    parameters = inspect.signature(cls.__init__).parameters.values()  # type: ignore[misc]
    return [one.name for one in parameters if one.kind in named and one.name not in ("self", *BASE)]


def is_plain(value: Any) -> bool:
    """Whether it is made of numbers, strings, lists and dicts only."""
    if isinstance(value, (list, tuple)):
        return all(map(is_plain, value))
    if isinstance(value, dict):
        return all(map(is_plain, value.values()))
    return isinstance(value, SIMPLE)


def plain(value: Any) -> Any:
    """A value as a configuration holds it: functions by name, objects as a dict of class name and configuration."""
    if isinstance(value, (list, tuple)):
        return type(value)(map(plain, value)) if type(value) in (list, tuple) else [plain(item) for item in value]
    if isinstance(value, dict):
        return {key: plain(item) for key, item in value.items()}
    if isinstance(value, (np.integer, np.floating, np.bool_)):
        return value.item()
    if isinstance(value, np.ndarray):
        return value.tolist()
    if hasattr(value, "get_config"):
        return to_config(value)
    if isinstance(value, Callable) and hasattr(value, "__name__") and value.__name__ != "<lambda>":  # type: ignore[arg-type]
        return value.__name__ if value.__module__.startswith("kgraph.") else to_config(value)
    return value
