"""Half precision as kernels compute it.

On the CPU none computes in 16 bits: every value of float16 or bfloat16 becomes one of float32. Inside a graph the
wider values only lose less; at its border arrays are converted, so that results have the dtypes that the definition
says (see `executable.Lowered`).

CUDA kernels keep halves, in memory and as the precision of what each op answers. Only what is made of many elements is
made in float32, and rounded once.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from kgraph.graph.ir import LEAVES, Graph, Node
from kgraph.graph.op import OPS
from kgraph.graph.types import HALF, TensorType
from kgraph.ops.arithmetic import cast
from kgraph.passes.rewrite import substitute
from kgraph.tracing.trace import record, reference

BY_ELEMENTS = ("map", "move", "loop")  # kinds of ops whose kernels take halves as they are


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


def widen_sums(graph: Graph) -> Graph:
    """The graph with float32 inside of reductions, of scatters, and of compositions of several ops."""
    found = [node for node in graph if _is_sum(node) and not _dtypes(graph, node).isdisjoint(HALF)]
    if not found:
        return graph
    graph = graph.copy()
    for node in found:
        read = [reference(graph, name) for name in graph.arguments(node.name)]
        operands = [cast(one, "float32") if one.dtype in HALF else one for one in read]
        attrs = {key: wide(value) for key, value in node.attrs.items()}
        result = record(OPS[node.op], operands, attrs)
        substitute(graph, node.name, cast(result, node.tensor.dtype))
    return graph


def _is_sum(node: Node) -> bool:
    """Whether an op makes an element of many, unless its kernel adds halves up in float32 anyway."""
    if node.op in LEAVES or node.op in ("item", "convolution"):  # which will be a product
        return False
    is_product = node.op == "einsum" and node.attrs["spec"].count(",") == 1
    return OPS[node.op].kind not in BY_ELEMENTS and not is_product


def _dtypes(graph: Graph, node: Node) -> set[str]:
    return {graph[name].tensor.dtype for name in [*graph.arguments(node.name), node.name]}


def wide(value: Any) -> Any:
    """A type, a dtype's name, a constant or a body without half precision; everything else as it is."""
    if isinstance(value, TensorType):
        return TensorType(value.shape, "float32") if value.dtype in HALF else value
    if isinstance(value, Graph):
        return widen(value)
    if isinstance(value, np.ndarray) and value.dtype.name in HALF:
        return value.astype(np.float32)
    return "float32" if isinstance(value, str) and value in HALF else value
