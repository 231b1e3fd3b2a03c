"""The built-in models: each compiles, and its numbers are numpy's and jax's."""

from __future__ import annotations

import pytest

from kgraph.bench.measure import Settings, measure
from kgraph.bench.models import MODELS
from kgraph.bench.peers import PEERS, peers_named
from kgraph.errors import ArgumentError


@pytest.mark.parametrize("name", MODELS)
def test_every_model_agrees_with_its_peers(name: str) -> None:
    pytest.importorskip("jax")
    (row,) = measure(name, MODELS[name](), Settings((3,), 0.001, 1, "mse", tuple(PEERS)))
    assert row.faults == []
    assert all(not rival.absent and rival.call and rival.gradient for rival in row.rivals.values())
    assert row.batch == 3 and row.operations > 0 and row.gflops > 0 and row.items_per_second > 0


def test_numpy_is_always_a_peer() -> None:
    assert peers_named("") == ["numpy"]
    assert peers_named("jax, numpy") == ["numpy", "jax"]
    with pytest.raises(ArgumentError, match="abacus"):
        peers_named("abacus")
