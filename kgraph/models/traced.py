"""What tracing a model gives to those who compile it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from kgraph import tree
from kgraph.graph.ir import Graph
from kgraph.tracing.trace import Symbol, Trace, collect


@dataclass(frozen=True)
class Traced:
    """The layer graph of a model, its updates of state included, and how inputs and outputs are nested.

    The graph's outputs are the model's, and behind them the losses that its layers and weights add.
    """

    graph: Graph
    inputs: Any  # a nest like the model's inputs, with names of graph inputs as leaves
    outputs: Any  # a nest like the model's outputs, with names of nodes as leaves
    count: int  # how many of the graph's outputs are outputs of the model

    @property
    def losses(self) -> list[str]:
        """The nodes of the scalar losses that layers and regularizers add."""
        return self.graph.outputs[self.count :]

    @classmethod
    def of(cls, inputs: Any, outputs: Any, losses: Sequence[Any], found: Trace) -> Traced:
        """From the nests of symbols, the losses, and what the trace noted of state."""
        entries: list[Symbol] = tree.flatten(inputs)
        flat = [leaf for leaf in tree.flatten(outputs) if leaf is not None]
        graph = collect([*flat, *losses], entries, found.updates)
        names = iter(graph.outputs)
        nest = tree.map_structure(lambda leaf: None if leaf is None else next(names), outputs)
        return cls(graph, tree.pack_sequence_as(inputs, graph.inputs[: len(entries)]), nest, len(flat))
