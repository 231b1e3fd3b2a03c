"""Where the buffers of a plan lie for given sizes: one block of memory, shared by values that never live together."""

from __future__ import annotations

from bisect import insort
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from itertools import accumulate

from kgraph.codegen.plan.steps import Plan
from kgraph.graph.sizes import resolve

ALIGNMENT = 64
MANY = 300  # buffers, from which on a tenth more is good enough
ENOUGH = 1.02  # times the least memory possible: what other orders could still save is not worth the time
Span = tuple[int, int]

# Which buffers to place first: the largest, almost always; then other guesses, for graphs at which that one fails.
ORDERS: tuple[Callable[[int, Span], tuple[int, ...]], ...] = (
    lambda room, span: (-room, *span),
    lambda room, span: (-room * (span[1] - span[0] + 1), *span),
    lambda room, span: (span[0] - span[1], -room, span[0]),
    lambda room, span: (span[0], -room, -span[1]),
    lambda room, span: (-span[1], -room, span[0]),
)


@dataclass(frozen=True)
class Layout:
    """Offsets into the arena, in bytes, and how large it is."""

    offsets: dict[str, int]
    size: int
    room: int  # of the parts of a plan that is cut along the batch, each in its turn


def layout(plan: Plan, sizes: Mapping[str, int], threads: int = 1) -> Layout:
    """Place one buffer after the other, each as low as those that live at the same time allow.

    Several orders are tried, until one leaves hardly a gap at the moment when most is alive. A plan that is cut has a
    room for the part at hand of each thread.
    """
    cut, sizes = plan.cut, plan.all_sizes(sizes)
    parts = 1 if cut is None else int(resolve(cut.parts, sizes))
    if cut is None or parts < 2:
        return _whole(plan, sizes)
    one = _whole(plan, {**sizes, cut.axis: int(resolve(cut.samples, sizes))})
    return Layout(one.offsets, one.room * min(threads, parts), one.room)


def _whole(plan: Plan, sizes: Mapping[str, int]) -> Layout:
    """The places of the buffers of one part, or of all."""
    spans = plan.lifetimes()
    room = {name: _aligned(int(resolve(plan.buffers[name].bytes, sizes))) for name in spans}
    least, best = most_alive(spans, room), None
    for key in ORDERS:
        found = _placed(spans, room, sorted(room, key=lambda name: key(room[name], spans[name])))
        if best is None or found.size < best.size:
            best = found
        if best.size <= least * (ENOUGH if len(room) <= MANY else 1.1):
            break
    assert best is not None
    return best


def most_alive(spans: Mapping[str, Span], room: Mapping[str, int]) -> int:
    """The most bytes that live at one time: no layout is smaller."""
    change = [0] * (2 + max((end for _, end in spans.values()), default=0))
    for name, (begin, end) in spans.items():
        change[begin] += room[name]
        change[end + 1] -= room[name]
    return max(accumulate(change))


def _placed(spans: Mapping[str, Span], room: Mapping[str, int], order: Iterable[str]) -> Layout:
    offsets: dict[str, int] = {}
    taken: list[tuple[int, int, int, int]] = []  # (offset, its end, first step, last step), lowest first
    for name in order:
        (begin, end), size, place = spans[name], room[name], 0
        for offset, top, first, last in taken:
            if first <= end and begin <= last:
                if place + size <= offset:
                    break
                place = max(place, top)
        offsets[name] = place
        insort(taken, (place, place + size, begin, end))
    size = max((offsets[name] + room[name] for name in offsets), default=0)
    return Layout(offsets, size, size)


def _aligned(size: int) -> int:
    return -(-size // ALIGNMENT) * ALIGNMENT
