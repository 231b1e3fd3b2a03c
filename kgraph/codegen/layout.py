"""Where the buffers of a plan lie for given sizes: one block of memory, shared by values that never live together."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from kgraph.codegen.steps import Plan
from kgraph.sizes import resolve

ALIGNMENT = 64


@dataclass(frozen=True)
class Layout:
    """Offsets into the arena, in bytes, and how large it is."""

    offsets: dict[str, int]
    size: int


def layout(plan: Plan, sizes: Mapping[str, int]) -> Layout:
    """Place the largest buffers first, each as low as those that live at the same time allow."""
    spans = plan.lifetimes()
    room = {name: _aligned(int(resolve(plan.buffers[name].bytes, sizes))) for name in spans}
    offsets: dict[str, int] = {}
    for name in sorted(room, key=lambda name: (-room[name], spans[name])):
        begin, end = spans[name]
        others = sorted((offsets[o], room[o]) for o in offsets if spans[o][0] <= end and begin <= spans[o][1])
        place = 0
        for offset, size in others:
            if place + room[name] <= offset:
                break
            place = max(place, offset + size)
        offsets[name] = place
    return Layout(offsets, max((offsets[name] + room[name] for name in offsets), default=0))


def _aligned(size: int) -> int:
    return -(-size // ALIGNMENT) * ALIGNMENT
