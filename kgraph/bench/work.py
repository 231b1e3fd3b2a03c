"""What a graph costs, counted: floating point operations, and memory."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from dataclasses import dataclass
from math import prod

from kgraph.codegen.native.host import tile_shape
from kgraph.codegen.plan.layout import layout
from kgraph.codegen.plan.planner import plan
from kgraph.graph.ir import LEAVES, Graph, Node
from kgraph.graph.op import OPS
from kgraph.graph.sizes import resolve
from kgraph.graph.types import numpy_dtype


@dataclass(frozen=True)
class Memory:
    """Bytes that a compiled graph holds: values in between, weights, and weights made ready for the kernels."""

    arena: int
    weights: int
    prepared: int

    @property
    def total(self) -> int:
        return self.arena + self.weights + self.prepared


def operations(graph: Graph, sizes: Mapping[str, int]) -> int:
    """The operations of a graph without layer calls.

    A contraction of n operands counts n for each combination of its letters (a matrix product 2 * m * n * k), an
    elementwise op one for each element it makes, a reduction one for each it reads; moving data counts nothing.
    """
    return sum(operations_of(graph, node, sizes) for node in graph if node.op not in LEAVES)


def operations_of(graph: Graph, node: Node, sizes: Mapping[str, int]) -> int:
    """The operations of one node."""
    if node.op not in OPS:
        return 0
    if OPS[node.op].kind == "loop":
        bodies = [value for value in node.attrs.values() if isinstance(value, Graph)]
        return int(resolve(node.attrs.get("length", 1), sizes)) * max(operations(body, sizes) for body in bodies)
    arguments = [resolve(graph[name].tensor.shape, sizes) for name in graph.arguments(node.name)]
    made = prod(resolve(node.tensor.shape, sizes))
    match OPS[node.op].kind:
        case "contract":
            terms = node.attrs["spec"].split("->")[0].split(",")
            extents: dict[str, int] = {}
            for term, shape in zip(terms, arguments, strict=True):
                for letter, size in zip(term, shape, strict=True):
                    extents[letter] = max(size, extents.get(letter, 1))
            return len(terms) * prod(extents.values())
        case "reduce":
            return prod(arguments[0])
        case "scatter":
            return prod(arguments[2]) if node.op == "scatter_add" else 0
        case "map" | "cumulate":
            return made
    return 0


def memory(fused: Graph, sizes: Mapping[str, int]) -> Memory:
    """The memory of a graph that was compiled for the CPU, in a call with these sizes."""
    made = plan(fused, tile_shape)
    prepared = sum(resolve(one.bytes, sizes) for one in made.buffers.values() if one.place == "prepared")
    weights = sum(resolve(one.tensor.size, sizes) * numpy_dtype(one.tensor.dtype).itemsize for one in fused.params())
    return Memory(layout(made, sizes).size, weights, prepared)


def peak_of_process() -> int | None:
    """The most memory this process ever held, in bytes; None where the system does not say."""
    try:
        import resource
    except ImportError:
        return None
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit
