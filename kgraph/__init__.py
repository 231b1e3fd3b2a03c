"""kgraph: a compiler for neural networks written the Keras way."""

from typing import Any

from kgraph import (
    activations,
    backend,
    callbacks,
    config,
    constraints,
    dtype_policies,
    initializers,
    layers,
    losses,
    metrics,
    mixed_precision,
    models,
    ops,
    optimizers,
    preprocessing,
    random,
    regularizers,
    saving,
    tree,
    utils,
)
from kgraph.dtype_policies import DTypePolicy
from kgraph.executable.compile import compile
from kgraph.executable.gradient_tape import GradientTape
from kgraph.executable.transforms import grad, jit, value_and_grad
from kgraph.initializers import Initializer
from kgraph.layers import Input, InputSpec, Layer
from kgraph.layers.input import KerasTensor
from kgraph.layers.naming import name_scope
from kgraph.layers.operation import Operation
from kgraph.losses import Loss
from kgraph.metrics import Metric
from kgraph.missing import missing
from kgraph.models import Function, Model, Sequential
from kgraph.optimizers import Optimizer
from kgraph.regularizers import Regularizer
from kgraph.tracing.stateless import StatelessScope
from kgraph.tracing.variable import Variable

__version__ = "0.1.0"

__all__ = [
    "DTypePolicy",
    "Function",
    "GradientTape",
    "Initializer",
    "Input",
    "InputSpec",
    "KerasTensor",
    "Layer",
    "Loss",
    "Metric",
    "Model",
    "Operation",
    "Optimizer",
    "Regularizer",
    "Sequential",
    "StatelessScope",
    "Variable",
    "activations",
    "backend",
    "callbacks",
    "compile",
    "config",
    "constraints",
    "dtype_policies",
    "grad",
    "initializers",
    "jit",
    "layers",
    "losses",
    "metrics",
    "mixed_precision",
    "models",
    "name_scope",
    "ops",
    "optimizers",
    "preprocessing",
    "random",
    "regularizers",
    "saving",
    "tree",
    "utils",
    "value_and_grad",
]


def __getattr__(name: str) -> Any:
    raise missing("", name)
