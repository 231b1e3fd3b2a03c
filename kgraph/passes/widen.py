"""Half precision as kernels compute it: every value of float16 or bfloat16 becomes one of float32.

No kernel computes in 16 bits. Inside a graph the wider values only lose less; at its border arrays are converted, so
that results have the dtypes that the definition says (see `executable.Lowered`).
"""

from __future__ import annotations

from typing import Any

import numpy as np

from kgraph.graph.ir import Graph
from kgraph.graph.types import HALF, TensorType


def widen(graph: Graph) -> Graph:
    """The graph with float32 in the place of both halves, in the bodies of its loops and branches too."""
    graph = graph.copy()
    for name in graph.nodes:
        node = graph[name]
        kinds = tuple(map(wide, node.type)) if isinstance(node.type, tuple) else wide(node.type)
        attrs = {key: wide(value) for key, value in node.attrs.items()}
        if kinds != node.type or any(attrs[key] is not value for key, value in node.attrs.items()):
            graph.set(name, type=kinds, attrs=attrs)
    return graph


def wide(value: Any) -> Any:
    """A type, a dtype's name, a constant or a body without half precision; everything else as it is."""
    if isinstance(value, TensorType):
        return TensorType(value.shape, "float32") if value.dtype in HALF else value
    if isinstance(value, Graph):
        return widen(value)
    if isinstance(value, np.ndarray) and value.dtype.name in HALF:
        return value.astype(np.float32)
    return "float32" if isinstance(value, str) and value in HALF else value
