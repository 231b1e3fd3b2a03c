"""Initializers by name and by config."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

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
from kgraph.named import find, snake_case, to_config

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
    "Given": Given,
}


def get(identifier: Any) -> Callable[..., np.ndarray] | None:
    """The initializer meant by a name, a config, a class, a function of (shape, dtype), or an array; None for None."""
    if hasattr(identifier, "__array__") and not isinstance(identifier, type):
        return Given(identifier)
    return find(identifier, NAMES, "initializer")


def serialize(initializer: Any) -> dict[str, Any] | None:
    """The config from which `deserialize` makes the initializer again, in the form Keras writes."""
    return to_config(initializer)


def deserialize(config: Any, custom_objects: Mapping[str, Any] | None = None) -> Callable[..., np.ndarray] | None:
    """The initializer of a name or config; custom_objects are classes and functions of the user's, by name."""
    return find(config, {**NAMES, **(custom_objects or {})}, "initializer")
