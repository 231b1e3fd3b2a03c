"""kgraph: a compiler for neural networks written the Keras way."""

from importlib import import_module
from typing import Any

__version__ = "0.1.0"

MODULES = (
    "activations", "config", "constraints", "dtype_policies", "initializers", "layers", "losses", "models", "ops",
    "random", "regularizers", "tree", "utils",
)  # fmt: skip
NAMES = {
    "DTypePolicy": "kgraph.dtype_policies",
    "Input": "kgraph.layers",
    "InputSpec": "kgraph.layers",
    "KerasTensor": "kgraph.trace:Symbol",
    "Layer": "kgraph.layers",
    "Loss": "kgraph.losses",
    "Model": "kgraph.models",
    "Sequential": "kgraph.models",
    "Variable": "kgraph.variable",
    "compile": "kgraph.compile",
    "name_scope": "kgraph.layers.naming",
}
PLANNED = frozenset((
    "optimizers", "metrics", "callbacks", "saving", "backend", "datasets", "applications", "preprocessing", "export",
    "Optimizer", "Metric", "GradientTape", "Operation", "Function", "StatelessScope", "Quantizer",
))  # fmt: skip

__all__ = [*MODULES, *NAMES]


def __getattr__(name: str) -> Any:
    if name in MODULES:
        return import_module(f"kgraph.{name}")
    if name in NAMES:
        module, _, attribute = NAMES[name].partition(":")
        value = globals()[name] = getattr(import_module(module), attribute or name)
        return value
    if name in PLANNED:
        raise AttributeError(f"kgraph does not have {name!r} yet")
    raise AttributeError(f"module 'kgraph' has no attribute {name!r}")
