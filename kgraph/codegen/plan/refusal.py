"""What is said when a kernel refuses its work: an index points outside of what it indexes, or memory is short."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from kgraph.codegen.plan.steps import Step
from kgraph.codegen.schedule.kernel import Chain, Check
from kgraph.errors import RangeError
from kgraph.graph.ir import Graph
from kgraph.graph.sizes import resolve, substitute

NO_ROOM_FOR_ROWS = "there is no memory for the rows of one tile"


def refusal(graph: Graph, step: Step, inputs: Sequence[np.ndarray], sizes: Mapping[str, int]) -> Exception:
    """The error that says why a step did not do its work: which index of which input pointed outside of what, or that
    there was no memory."""
    check = step.kernel.schedule
    if isinstance(check, Chain):
        return MemoryError(f"{step.node}: {NO_ROOM_FOR_ROWS}")
    assert isinstance(check, Check), f"{step.node} failed"
    given_sizes = dict(zip(step.kernel.sizes, step.sizes, strict=True))
    low, high = (resolve(substitute(bound, given_sizes), sizes) for bound in (check.low, check.high))
    given = dict(zip(graph.inputs, inputs, strict=True)).get(step.buffers[0])
    wrong = [] if given is None else given[(given < low) | (given >= high)]
    outside = f"index {wrong[0]} of input {step.buffers[0]!r}" if len(wrong) else "an index"
    return RangeError(f"{step.node}: {outside} is outside of [{low}, {high}), the rows of {step.table}")
