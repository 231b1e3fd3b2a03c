"""The others: ways to compute the same graph that a model is measured beside. A new one is a row in PEERS."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from importlib.util import find_spec
from typing import Any

import numpy as np

from kgraph.errors import ArgumentError, MissingExtraError
from kgraph.evaluate import evaluate
from kgraph.ir import Graph


@dataclass(frozen=True)
class Case:
    """What all contestants compute, as op graphs before fusion, and the numbers they are given."""

    forward: Graph
    inputs: Sequence[np.ndarray]
    loss: Graph  # the same up to the loss, which is its one output; its inputs are the model's and the targets
    backward: Graph  # the loss and its gradients
    weights: Sequence[str]  # the nodes of `loss` that gradients are asked for, in order
    targets: Sequence[np.ndarray]


@dataclass(frozen=True)
class Contestant:
    """One way to compute a case: calls without arguments, that return when the numbers are there."""

    name: str
    call: Callable[[], Any]
    gradient: Callable[[], Any] | None  # the loss, then the gradients
    flat: Callable[[Any], list[np.ndarray]] = field(default=lambda outputs: [np.asarray(one) for one in outputs])


class UnknownHere(Exception):
    """A peer cannot compute a case; the message says why."""


def numpy_peer(case: Case) -> Contestant:
    """numpy, one op after the other: what a graph means."""
    return Contestant(
        "numpy",
        lambda: evaluate(case.forward, case.inputs)[0],
        lambda: evaluate(case.backward, [*case.inputs, *case.targets])[0],
    )


def jax_peer(case: Case) -> Contestant:
    """The same ops with jax.numpy, compiled whole by jax.jit, given arrays that are jax's already."""
    from kgraph.bench import jax_graph

    unknown = jax_graph.unknown_ops(case.loss)
    if unknown:
        raise UnknownHere(f"jax is not told how to compute {', '.join(unknown)}")
    call = jax_graph.forward(case.forward, case.inputs)
    gradient = jax_graph.gradient(case.loss, [*case.inputs, *case.targets], case.weights)
    return Contestant("jax", call, gradient)


PEERS: dict[str, Callable[[Case], Contestant]] = {"numpy": numpy_peer, "jax": jax_peer}


def peers_named(text: str) -> list[str]:
    """The peers of a list such as "jax,numpy"; numpy is always there, and first.

    ArgumentError for a name that is none; MissingExtraError for a package that is not installed.
    """
    names = [name.strip() for name in text.split(",") if name.strip()]
    for name in names:
        if name not in PEERS:
            raise ArgumentError(f"--vs knows {', '.join(PEERS)}, and not {name!r}")
        if find_spec(name) is None:
            raise MissingExtraError(f"--vs {name} needs the package {name}: pip install kgraph[bench]")
    return list(dict.fromkeys(["numpy", *names]))
