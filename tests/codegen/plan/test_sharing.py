"""Places that buffers share whatever the sizes are."""

from __future__ import annotations

from itertools import pairwise

import pytest

import kgraph as kg
from kgraph.codegen.plan.layout import layout
from kgraph.codegen.plan.sharing import places
from kgraph.graph.sizes import axes_of, resolve


def planned(model: kg.Model):
    return kg.compile(model, lower_only=True)._forward().program.plan


def deep() -> kg.Model:
    return kg.Sequential([kg.Input((9,)), *(kg.layers.Dense(width, "relu") for width in (40, 8, 30, 20, 3))])


def looped() -> kg.Model:
    return kg.Sequential([kg.Input((None, 4)), kg.layers.LSTM(6, return_sequences=True), kg.layers.GRU(5)])


@pytest.mark.parametrize("make", [deep, looped])
def test_those_that_live_together_share_nothing(make):
    plan = planned(make())
    spans, found = plan.lifetimes(), places(plan)
    assert sorted(name for place in found for name in place) == sorted(spans)
    for place in found:
        turns = sorted(spans[name] for name in place)
        assert all(end < begin for (_, end), (begin, _) in pairwise(turns))


@pytest.mark.parametrize("make", [deep, looped])
def test_it_takes_hardly_more_than_a_layout_for_the_sizes(make):
    plan = planned(make())
    count = 64 if plan.cut is None else plan.cut.least or plan.cut.most  # what is one part
    sizes = dict.fromkeys(axes_of(tuple(one.bytes for one in plan.buffers.values())), count)
    whole = [[-(-resolve(plan.buffers[name].bytes, sizes) // 64) * 64 for name in place] for place in places(plan)]
    assert sum(map(max, whole)) <= 1.5 * layout(plan, sizes).size
