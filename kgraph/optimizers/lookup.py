"""Optimizers by name and by config; those that hold others look these up here."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from kgraph.errors import ArgumentError
from kgraph.named import find, to_config
from kgraph.optimizers.adadelta import Adadelta
from kgraph.optimizers.adafactor import Adafactor
from kgraph.optimizers.adagrad import Adagrad
from kgraph.optimizers.adam import Adam, AdamW
from kgraph.optimizers.adamax import Adamax
from kgraph.optimizers.base import Optimizer
from kgraph.optimizers.ftrl import Ftrl
from kgraph.optimizers.lamb import Lamb
from kgraph.optimizers.lion import Lion
from kgraph.optimizers.muon import Muon
from kgraph.optimizers.nadam import Nadam
from kgraph.optimizers.rmsprop import RMSprop
from kgraph.optimizers.schedule_free import ScheduleFreeAdamW
from kgraph.optimizers.sgd import SGD
from kgraph.registry import CustomObjectScope

CLASSES: tuple[type[Optimizer], ...] = (
    SGD,
    RMSprop,
    Adam,
    AdamW,
    Adamax,
    Nadam,
    Adagrad,
    Adadelta,
    Ftrl,
    Lion,
    Lamb,
    Adafactor,
    Muon,
    ScheduleFreeAdamW,
)


NAMES: dict[str, Any] = {name: one for one in CLASSES for name in (one.__name__, one.__name__.lower())}


def resolve(identifier: Any, custom_objects: Mapping[str, Any] | None = None, known: Mapping[str, Any] = NAMES) -> Any:
    """The optimizer that a name, a config or a class means; an optimizer itself, and None, as they are."""
    if isinstance(identifier, Optimizer):
        return identifier
    with CustomObjectScope(custom_objects):
        found = find(identifier, known, "optimizer")
    if found is not None and not isinstance(found, Optimizer):
        raise ArgumentError(f"{identifier!r:.60} is no optimizer: give a name, a config, or an Optimizer")
    return found


def serialize(optimizer: Any) -> Any:
    """A description that `get` understands, in the form Keras writes."""
    return to_config(optimizer)
