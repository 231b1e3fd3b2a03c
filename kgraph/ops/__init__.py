"""All operations: the rows, and the public functions on symbols and arrays alike. Importing it fills the tables."""

from typing import Any

from kgraph.graph.op import FUNCTIONS
from kgraph.ops import (  # noqa: F401 - importing them fills the table
    arithmetic,
    blocks,
    compare,
    contract,
    convert,
    convolution,
    creating,
    crossentropy,
    ctc,
    custom,
    gather,
    image,
    indexing,
    joining,
    linalg,
    loops,
    move,
    nans,
    nn,
    normal,
    normalizing,
    pointwise,
    pooling,
    probabilities,
    products,
    quantiles,
    random,
    reduce,
    scattering,
    segments,
    series,
    shapes,
    sorting,
    statistics,
    tensors,
    transcendental,
    windows,
)
from kgraph.ops.missing import looked_up


def __getattr__(name: str) -> Any:
    return looked_up(__name__, name)


def __dir__() -> list[str]:
    return sorted(FUNCTIONS)
