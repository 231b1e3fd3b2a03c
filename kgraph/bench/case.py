"""What is measured: a model with a batch size, as the op graphs that peers translate, and numbers to feed it with."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

import kgraph
from kgraph.bench.data import inputs_for, targets_for
from kgraph.bench.models import MODELS
from kgraph.graph.ir import Graph
from kgraph.locate import model_at
from kgraph.utils import clear_session, set_random_seed

MODES = ("forward", "grad", "step")


@dataclass(frozen=True)
class Task:
    """A model's place (a name in MODELS, or FILE.py:NAME), and what is asked of it; plain data, for other processes."""

    place: str
    batch: int
    modes: Sequence[str] = MODES[:2]
    loss: str = "mse"

    @property
    def name(self) -> str:
        """The model's name in tables."""
        return self.place if self.place in MODELS else self.place.replace("\\", "/").rpartition("/")[2]


@dataclass(frozen=True)
class Case:
    """What all contestants compute."""

    task: Task
    model: Any
    layers: Graph  # the calls of layers
    forward: Graph  # the ops before fusion, compositions such as softmax as one op
    inputs: Sequence[np.ndarray]
    loss: Graph | None = None  # the same up to the loss, its one output; its inputs are the model's and the targets
    backward: Graph | None = None  # the loss and its gradients
    weights: Sequence[str] = ()  # the nodes of `loss` that gradients are asked for, in order
    targets: Sequence[np.ndarray] = ()

    @property
    def variables(self) -> list[Any]:
        """Weights and state, each once, in an order that is the same in every process."""
        graphs = [self.layers] + ([self.loss] if self.loss else [])
        found = [node.attrs["variable"] for graph in graphs for node in graph.params()]
        return list({id(one): one for one in found}.values())


def model_of(place: str) -> Any:
    """The model at a place, with the names that a program has which makes it once."""
    clear_session()
    return MODELS[place]() if place in MODELS else model_at(place)


def case_of(task: Task) -> Case:
    """The model, made now, its graphs and its numbers: the same in every run."""
    set_random_seed(0)
    model = model_of(task.place)
    stages = kgraph.compile(model, lower_only=True).stages
    forward = stages["stabilise"]
    inputs = inputs_for(forward, task.batch)
    if set(task.modes) <= {"forward"}:
        return Case(task, model, stages["trace"], forward, inputs)
    compiled = kgraph.compile(model, loss=task.loss, lower_only=True)
    loss = compiled.stages["stabilise"]
    names = [name for name in loss.inputs if name not in forward.inputs]
    last = forward[forward.outputs[0]].tensor.shape[-1:]
    classes = last[0] if last and isinstance(last[0], int) else 2
    known = {id(node.attrs["variable"]): node.name for node in loss.params()}
    weights = [known.get(id(variable), "") for variable in compiled.definition.weights]
    targets = targets_for(loss, names, classes, task.batch)
    backward = compiled.stages["gradients"]
    return Case(task, model, stages["trace"], forward, inputs, loss, backward, weights, targets)


def difference(theirs: Sequence[np.ndarray], ours: Sequence[np.ndarray]) -> float:
    """The largest distance of two numbers, as a part of the largest number there is; infinite for other shapes."""
    if len(theirs) != len(ours):
        return float("inf")
    largest = max((float(np.max(np.abs(one), initial=0.0)) for one in theirs), default=0.0)
    gaps = [np.max(np.abs(np.subtract(a, b, dtype=np.float64)), initial=0.0) for a, b in zip(theirs, ours, strict=True)]
    return float(max(gaps, default=0.0)) / max(largest, 1e-6)


def keep(case: Case, values: Mapping[str, np.ndarray]) -> None:
    """Give the model's variables the values that `kept` found, in another process perhaps."""
    for number, variable in enumerate(case.variables):
        variable.assign(values[str(number)])


def kept(case: Case) -> dict[str, np.ndarray]:
    """The values of the model's variables now."""
    return {str(number): variable.numpy().copy() for number, variable in enumerate(case.variables)}
