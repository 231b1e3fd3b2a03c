"""Which buffers of a plan may lie in the same place whatever the sizes of a call: those that never live together."""

from __future__ import annotations

from collections.abc import Mapping

from kgraph.codegen.plan.layout import Span
from kgraph.codegen.plan.steps import Plan
from kgraph.codegen.schedule.task import UNKNOWN
from kgraph.graph.sizes import Dim, axes_of, resolve


def places(plan: Plan) -> list[list[str]]:
    """The arena's buffers by places; a place must be as large as the largest of its buffers.

    `layout` finds better offsets, for the sizes of one call; this serves where sizes are known to machine code alone.
    """
    spans = plan.lifetimes()
    guess = dict.fromkeys(axes_of(tuple(plan.buffers[name].bytes for name in spans)), UNKNOWN)
    if plan.cut is not None:
        guess[plan.cut.axis] = plan.cut.most
    room = {name: _guessed(plan.buffers[name].bytes, guess) for name in spans}
    made: list[list[str]] = []
    for name in sorted(spans, key=lambda name: (-room[name], *spans[name])):
        free = [place for place in made if not any(_meet(spans, name, other) for other in place)]
        if free:
            free[-1].append(name)  # the smallest: all are at least as large as this buffer, as far as one can guess
        else:
            made.append([name])
    return made


def _guessed(size: Dim, axes: Mapping[str, int]) -> int:
    try:
        return int(resolve(size, axes))
    except ZeroDivisionError:  # of a size that such axes do not have
        return 0


def _meet(spans: Mapping[str, Span], one: str, other: str) -> bool:
    (begin, end), (first, last) = spans[one], spans[other]
    return first <= end and begin <= last
