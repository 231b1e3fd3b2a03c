"""The built-in models: every cell of the comparison is one, and what is compared is what the models compute."""

from __future__ import annotations

import pytest

from kgraph.bench.case import Task, case_of, difference
from kgraph.bench.models import CELLS, FEW, MODELS, SIZES
from kgraph.bench.peers import kgraph_peer, numpy_peer


@pytest.mark.parametrize("name", MODELS)
def test_every_model_agrees_with_numpy(name: str) -> None:
    (asked,) = {modes for model, _, modes in CELLS if model == name}
    modes = [mode for mode in asked if mode != "step"]  # which changes the weights that both compute with
    case = case_of(Task(name, 3, modes))
    for mode in modes:
        ours, theirs = (make(case, mode, 1) for make in (kgraph_peer, numpy_peer))
        values = [calls.flat(calls.ways[""]()) for calls in (theirs, ours)]
        assert difference(*values) < 1e-4, mode


def test_the_comparison_has_every_model() -> None:
    assert SIZES.keys() == MODELS.keys() and set(FEW) <= MODELS.keys()
    assert len(CELLS) >= 25
    assert {batch for _, batch, _ in CELLS} >= {1, 2048}
    assert all(modes for _, _, modes in CELLS)
