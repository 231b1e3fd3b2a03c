"""A training step as all contestants take it: Adam with these numbers, compared by how it changed the weights.

The rate is small because a measurement takes the step many thousand times on one batch: the numbers stay those of a
model in training. epsilon is that of Kingma and Ba's efficient form, beside the average before it is corrected; whoever
adds it to the corrected one is given what comes to the same in the steps that are compared.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from kgraph.bench.case import Case

RATE, DECAYS, EPSILON = 1e-6, (0.9, 0.999), 1e-9
COMPARED = 3  # the step after which the weights are compared

EPSILON_CORRECTED = EPSILON / (1 - DECAYS[1] ** 2) ** 0.5  # in the second step; about that in those around it


class Progress:
    """How far a model's trainable weights have come from where they are now."""

    def __init__(self, case: Case) -> None:
        self.start = [variable.numpy().copy() for variable in case.model.trainable_variables]

    def since(self, loss: Any, weights: Sequence[Any]) -> list[np.ndarray]:
        """The loss, and the change of each weight."""
        changes = [np.asarray(now) - then for now, then in zip(weights, self.start, strict=True)]
        return [np.asarray(loss).reshape(()), *changes]


def drift(theirs: Sequence[np.ndarray], ours: Sequence[np.ndarray]) -> float:
    """How far two results of `Progress.since` lie apart: the losses, and all changes as one vector, relative to ours.

    A gradient that is nothing but rounding has a sign by chance, and Adam divides by its size; so there is always a
    weight that differs, and the length of the whole difference tells more than the largest one.
    """
    if [one.shape for one in theirs] != [one.shape for one in ours]:
        return float("inf")
    gap = abs(float(theirs[0]) - float(ours[0])) / max(abs(float(ours[0])), 1e-6)
    apart = [np.subtract(a, b, dtype=np.float64) for a, b in zip(theirs[1:], ours[1:], strict=True)]
    found = max(gap, _length(apart) / max(_length(ours[1:]), 1e-12))
    return found if found == found else float("inf")


def adam(weight: Any, gradient: Any, first: Any, second: Any, step: Any, root: Callable[[Any], Any]) -> Any:
    """The weight and both averages after a step: Kingma and Ba (2014), as one writes it for arrays of any library."""
    first = DECAYS[0] * first + (1 - DECAYS[0]) * gradient
    second = DECAYS[1] * second + (1 - DECAYS[1]) * gradient * gradient
    rate = RATE * root(1 - DECAYS[1] ** step) / (1 - DECAYS[0] ** step)  # both averages begin at 0
    return weight - rate * first / (root(second) + EPSILON), first, second


def _length(parts: Sequence[np.ndarray]) -> float:
    return float(np.sqrt(sum(float(np.sum(np.square(part, dtype=np.float64))) for part in parts)))
