"""kgraph: a compiler for neural networks written the Keras way."""

from typing import Any

from kgraph import (
    activations,
    backend,
    config,
    constraints,
    dtype_policies,
    initializers,
    layers,
    losses,
    models,
    ops,
    random,
    regularizers,
    tree,
    utils,
)
from kgraph.compile import compile
from kgraph.dtype_policies import DTypePolicy
from kgraph.layers import Input, InputSpec, Layer
from kgraph.layers.naming import name_scope
from kgraph.losses import Loss
from kgraph.models import Model, Sequential
from kgraph.trace import Symbol as KerasTensor
from kgraph.variable import Variable

__version__ = "0.1.0"

# Names of the contract that are still to come.
PLANNED = frozenset((
    "GradientTape", "Function", "Metric", "Operation", "Optimizer", "Quantizer", "StatelessScope", "applications",
    "callbacks", "datasets", "distribution", "export", "metrics", "optimizers", "preprocessing",
    "quantizers", "saving", "visualization",
))  # fmt: skip

__all__ = [
    "DTypePolicy",
    "Input",
    "InputSpec",
    "KerasTensor",
    "Layer",
    "Loss",
    "Model",
    "Sequential",
    "Variable",
    "activations",
    "backend",
    "compile",
    "config",
    "constraints",
    "dtype_policies",
    "initializers",
    "layers",
    "losses",
    "models",
    "name_scope",
    "ops",
    "random",
    "regularizers",
    "tree",
    "utils",
]


def __getattr__(name: str) -> Any:
    if name in PLANNED:
        raise AttributeError(f"kgraph does not have {name!r} yet")
    raise AttributeError(f"module 'kgraph' has no attribute {name!r}")
