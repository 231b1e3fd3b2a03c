"""Numbers to feed a model with, made from nothing but its graph."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import networkx as nx
import numpy as np

from kgraph.graph.ir import Graph
from kgraph.graph.op import INDICES
from kgraph.graph.sizes import axes_of, resolve
from kgraph.graph.types import TensorType, is_float, numpy_dtype

LENGTH = 16  # of axes other than the batch whose size is open


def sizes_for(graph: Graph, batch: int) -> dict[str, int]:
    """Numbers for the open sizes of a graph's inputs."""
    names = axes_of([graph[name].tensor.shape for name in graph.inputs])
    return {name: batch if name == "N" else LENGTH for name in sorted(names)}


def inputs_for(graph: Graph, batch: int, seed: int = 0) -> list[np.ndarray]:
    """An array for each input: normal numbers, or indices that point into the tables they are used for."""
    random, sizes = np.random.default_rng(seed), sizes_for(graph, batch)
    return [array_of(graph[name].tensor, index_bound(graph, name), sizes, random) for name in graph.inputs]


def targets_for(graph: Graph, names: Sequence[str], classes: int, batch: int, seed: int = 1) -> list[np.ndarray]:
    """An array for each of these inputs of a graph with a loss: numbers between 0 and 1, or numbers of classes."""
    random, sizes = np.random.default_rng(seed), sizes_for(graph, batch)
    return [np.abs(np.tanh(array_of(graph[name].tensor, classes, sizes, random))) if is_float(graph[name].tensor.dtype)
            else array_of(graph[name].tensor, classes, sizes, random) for name in names]  # fmt: skip


def array_of(kind: TensorType, bound: int, sizes: Mapping[str, int], random: np.random.Generator) -> np.ndarray:
    """Numbers of this type; integers are at least 0 and below the bound."""
    shape = resolve(kind.shape, sizes)
    if is_float(kind.dtype):
        return random.standard_normal(shape).astype(numpy_dtype(kind.dtype))
    return random.integers(0, bound, shape).astype(numpy_dtype(kind.dtype))


def index_bound(graph: Graph, name: str) -> int:
    """What an integer input must stay below: the rows of the smallest table it is an index of; 2 if there is none."""
    after = nx.descendants(graph.nx, name) | {name}
    rows = []
    for node in graph:
        arguments = graph.arguments(node.name)
        if node.op in INDICES and arguments[INDICES[node.op]] in after:
            size = graph[arguments[0]].tensor.shape[node.attrs["axis"]]
            rows += [size] if isinstance(size, int) else []
    return min(rows, default=2)
