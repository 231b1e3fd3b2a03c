"""All operations: the rows, and the public functions on symbols and arrays alike. Importing it fills the tables."""

from typing import Any

from kgraph.op import FUNCTIONS
from kgraph.ops import (  # noqa: F401 - importing them fills the table
    arithmetic,
    compare,
    contract,
    convert,
    convolution,
    creating,
    crossentropy,
    custom,
    gather,
    indexing,
    joining,
    loops,
    move,
    nn,
    normal,
    normalizing,
    pointwise,
    pooling,
    probabilities,
    products,
    random,
    reduce,
    scattering,
    shapes,
    sorting,
    statistics,
    tensors,
    transcendental,
    windows,
)


def __getattr__(name: str) -> Any:
    if name in FUNCTIONS:
        return FUNCTIONS[name]
    raise AttributeError(f"kgraph.ops has no {name!r}")


def __dir__() -> list[str]:
    return sorted(FUNCTIONS)
