"""Initializers by name and by config."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from difflib import get_close_matches
from typing import Any

import numpy as np

from kgraph.errors import ArgumentError
from kgraph.initializers.base import Initializer
from kgraph.initializers.constant import Constant, Given, Identity, Ones, Zeros
from kgraph.initializers.distributions import RandomNormal, RandomUniform, TruncatedNormal
from kgraph.initializers.fourier import STFT
from kgraph.initializers.scaling import (
    GlorotNormal,
    GlorotUniform,
    HeNormal,
    HeUniform,
    LecunNormal,
    LecunUniform,
    Orthogonal,
    VarianceScaling,
)

CLASSES: tuple[type[Initializer], ...] = (
    Zeros,
    Ones,
    Constant,
    Identity,
    RandomNormal,
    RandomUniform,
    TruncatedNormal,
    VarianceScaling,
    GlorotUniform,
    GlorotNormal,
    HeUniform,
    HeNormal,
    LecunUniform,
    LecunNormal,
    Orthogonal,
    STFT,
)


def snake_case(name: str) -> str:
    """glorot_uniform for GlorotUniform."""
    return re.sub(r"(?<=[a-z])(?=[A-Z])", "_", name).lower()


NAMES: dict[str, type[Initializer]] = {
    **{one.__name__: one for one in CLASSES},
    **{snake_case(one.__name__): one for one in CLASSES},
    "zero": Zeros,
    "one": Ones,
    "normal": RandomNormal,
    "uniform": RandomUniform,
    "eye": Identity,
    "IdentityInitializer": Identity,
    "OrthogonalInitializer": Orthogonal,
    "STFTInitializer": STFT,
}


def get(identifier: Any) -> Callable[..., np.ndarray] | None:
    """The initializer meant by a name, a config, a class, a function of (shape, dtype), or an array; None for None."""
    if identifier is None:
        return None
    if isinstance(identifier, str):
        return _named(identifier, {})()
    if isinstance(identifier, dict):
        return deserialize(identifier)
    if isinstance(identifier, type):
        return identifier()
    if hasattr(identifier, "__array__"):
        return Given(identifier)
    if not callable(identifier):
        raise ArgumentError(
            f"an initializer is a name, a config, a function of (shape, dtype), or an array: {identifier!r}"
        )
    return identifier


def serialize(initializer: Any) -> dict[str, Any] | None:
    """The config from which `deserialize` makes the initializer again, in the form Keras writes."""
    if initializer is None:
        return None
    kind = type(initializer)
    if hasattr(initializer, "get_config"):
        module = "keras.initializers" if kind in CLASSES else kind.__module__
        name = None if kind in CLASSES else kind.__name__
        config = initializer.get_config()
        return {"module": module, "class_name": kind.__name__, "config": config, "registered_name": name}
    if not hasattr(initializer, "__name__"):
        raise ArgumentError(f"{initializer!r} has neither a get_config nor a name, so no config describes it")
    name = initializer.__name__
    return {"module": "builtins", "class_name": "function", "config": name, "registered_name": "function"}


def deserialize(config: Any, custom_objects: Mapping[str, Any] | None = None) -> Callable[..., np.ndarray] | None:
    """The initializer of a config; custom_objects are classes and functions of the user's, by name."""
    if config is None:
        return None
    if not isinstance(config, dict) or "class_name" not in config:
        raise ArgumentError(f"the config of an initializer is a dict with a class_name, not {config!r}")
    custom = custom_objects or {}
    if config["class_name"] == "function":
        return _named(config["config"], custom)
    registered = config.get("registered_name") or ""
    found = _named(registered if registered in custom else config["class_name"], custom)
    return found.from_config(config.get("config") or {})


def _named(name: str, custom: Mapping[str, Any]) -> Any:
    known = {**NAMES, Given.__name__: Given, **custom}
    if name in known:
        return known[name]
    near = get_close_matches(name.lower(), [one for one in known if one.islower()], n=3)
    hint = (
        f"did you mean {' or '.join(map(repr, near))}?" if near else f"known: {', '.join(filter(str.islower, known))}"
    )
    raise ArgumentError(f"unknown initializer {name!r}; {hint}")
