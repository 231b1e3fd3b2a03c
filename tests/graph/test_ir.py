"""The graph: its order is networkx's, and no circle goes unnoticed."""

from __future__ import annotations

import random

import networkx as nx
import pytest

from kgraph.errors import GraphError
from kgraph.graph.ir import Graph, Node
from kgraph.graph.types import TensorType

SCALAR = TensorType("float32", ())


def shuffled(seed: int) -> Graph:
    """A graph whose nodes were not added in the order in which they run."""
    chosen, graph = random.Random(seed), Graph()
    names = [f"n{number}" for number in range(chosen.randint(1, 30))]
    for place, name in enumerate(names):
        sources = [chosen.choice(names[:place]) for _ in range(chosen.randint(0, 3)) if place]
        graph.add(Node(name, "any", SCALAR), *sources)
    for name in names:
        if chosen.random() < 0.4:
            graph.nx.nodes[name]["order"] = chosen.randint(0, len(names))
    return graph


@pytest.mark.parametrize("seed", range(40))
def test_iteration_and_arguments_are_those_of_networkx(seed):
    graph = shuffled(seed)
    order = graph.nx.nodes(data="order")
    names = list(nx.lexicographical_topological_sort(graph.nx, key=lambda name: order[name]))
    assert [node.name for node in graph] == names
    for name in names:
        edges = sorted(graph.nx.in_edges(name, keys=True), key=lambda edge: edge[2])
        assert graph.arguments(name) == [source for source, _, _ in edges]


def test_a_circle_is_an_error():
    graph = Graph()
    graph.add(Node("x", "input", SCALAR))
    graph.add(Node("y", "any", SCALAR), "x")
    graph.nx.add_edge("y", "y", key=1)
    with pytest.raises(GraphError, match="circle"):
        list(graph)
