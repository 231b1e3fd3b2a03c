"""How weights follow from gradients: optimizers as objects, and by name."""

from __future__ import annotations

from typing import Any

from kgraph.missing import missing
from kgraph.optimizers import lookup, schedules
from kgraph.optimizers.adadelta import Adadelta
from kgraph.optimizers.adafactor import Adafactor
from kgraph.optimizers.adagrad import Adagrad
from kgraph.optimizers.adam import Adam, AdamW
from kgraph.optimizers.adamax import Adamax
from kgraph.optimizers.base import Optimizer
from kgraph.optimizers.ftrl import Ftrl
from kgraph.optimizers.lamb import Lamb
from kgraph.optimizers.lion import Lion
from kgraph.optimizers.lookup import resolve, serialize
from kgraph.optimizers.loss_scale import LossScaleOptimizer
from kgraph.optimizers.multi import MultiOptimizer, OptimizerMap
from kgraph.optimizers.muon import Muon
from kgraph.optimizers.nadam import Nadam
from kgraph.optimizers.rmsprop import RMSprop
from kgraph.optimizers.schedule_free import ScheduleFreeAdamW
from kgraph.optimizers.sgd import SGD

NAMES: dict[str, Any] = {
    **lookup.NAMES,
    "MultiOptimizer": MultiOptimizer,
    "multioptimizer": MultiOptimizer,
    "LossScaleOptimizer": LossScaleOptimizer,
    "lossscaleoptimizer": LossScaleOptimizer,
    "OptimizerMap": OptimizerMap,
}


def get(identifier: Any) -> Any:
    """An optimizer from its name ("adam", "Adam"), its config, its class, or itself; None for None.

    Raises ArgumentError for anything else.
    """
    return deserialize(identifier)


def deserialize(config: Any, custom_objects: dict[str, Any] | None = None) -> Any:
    """The optimizer that `serialize` described; custom_objects are classes that kgraph does not know, by name."""
    return resolve(config, custom_objects, NAMES)


__all__ = [
    "SGD",
    "Adadelta",
    "Adafactor",
    "Adagrad",
    "Adam",
    "AdamW",
    "Adamax",
    "Ftrl",
    "Lamb",
    "Lion",
    "LossScaleOptimizer",
    "MultiOptimizer",
    "Muon",
    "Nadam",
    "Optimizer",
    "OptimizerMap",
    "RMSprop",
    "ScheduleFreeAdamW",
    "deserialize",
    "get",
    "schedules",
    "serialize",
]


def __getattr__(name: str) -> Any:
    raise missing("optimizers", name)
