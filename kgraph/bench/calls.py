"""What a contestant gives the clock: calls that compute a case, and how their numbers are read and compared."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from kgraph.bench.adam import COMPARED, Progress, drift
from kgraph.bench.case import Case, difference
from kgraph.graph.ir import Graph

Call = Callable[[], Any]


class UnknownHere(Exception):
    """A peer cannot compute a case; the message says why."""


@dataclass(frozen=True)
class Calls:
    """One way or several to compute a case: calls without arguments, that return when the numbers are there."""

    ways: Mapping[str, Call]
    flat: Callable[[Any], list[np.ndarray]] = field(default=lambda found: [np.asarray(one) for one in found])
    within: Callable[[], AbstractContextManager[Any]] = nullcontext  # what the calls are made inside of
    compared: int = 1  # the call whose numbers are compared; there are others before it where calls change something
    far: Callable[[Sequence[np.ndarray], Sequence[np.ndarray]], float] = difference


def graph_of(case: Case, mode: str) -> Graph:
    """The ops up to the outputs, or to the loss."""
    graph = case.forward if mode == "forward" else case.loss
    assert graph is not None
    return graph


def arguments_of(case: Case, mode: str) -> list[np.ndarray]:
    """What `graph_of` is computed for."""
    return [*case.inputs, *(() if mode == "forward" else case.targets)]


def single(arrays: Sequence[Any]) -> Any:
    """One array by itself, several as a list."""
    return arrays[0] if len(arrays) == 1 else list(arrays)


def stepping(case: Case, ways: Mapping[str, Call], read: Callable[[Any], list[Any]] | None = None) -> Calls:
    """Calls that take steps; read: the loss and the weights of what a call gives, where that is not these two."""
    progress = Progress(case)

    def flat(found: Any) -> list[np.ndarray]:
        loss, *weights = read(found) if read else (found[0], *found[1])
        return progress.since(loss, weights)

    return Calls(ways, flat, compared=COMPARED, far=drift)
