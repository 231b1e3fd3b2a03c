"""Every peer computes kgraph's numbers, of the built-in models and of single ops."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from kgraph import ops
from kgraph.bench.case import Case, Task, case_of, difference
from kgraph.bench.peers import EVERY, OURS, PEERS, UnknownHere, not_installed, peers_named
from kgraph.errors import ArgumentError
from kgraph.evaluate import evaluate
from kgraph.sizes import N
from kgraph.trace import trace
from kgraph.types import TensorType

SOME = ("mlp 37-113-29-7", "embedding 20 x 32", "normalised mlp", "transformer 128 x 256", "elementwise 512")
TRANSLATED = [(name, mode) for name, peer in PEERS.items() if name != "torch-compile" for mode in peer.modes]
needs_modules = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::UserWarning", "ignore::FutureWarning")


def numbers(name: str, case: Case, mode: str) -> list[list[np.ndarray]]:
    """What each way of a contestant computes."""
    calls = EVERY[name].make(case, mode, 1)
    with calls.within():
        return [calls.flat(call()) for call in calls.ways.values()]


@needs_modules
@pytest.mark.parametrize(("name", "mode"), TRANSLATED)
def test_numbers_are_ours(name: str, mode: str) -> None:
    for package in PEERS[name].packages:
        pytest.importorskip(package)
    for model in SOME:
        case = case_of(Task(model, 3))
        (ours,) = numbers(OURS, case, mode)
        for theirs in numbers(name, case, mode):
            assert difference(theirs, ours) < 1e-4, model


@needs_modules
@pytest.mark.slow
@pytest.mark.parametrize("mode", ["forward", "grad"])
def test_torch_compiles_the_same(mode: str) -> None:
    pytest.importorskip("torch")
    case = case_of(Task("mlp 37-113-29-7", 3))
    (ours,) = numbers(OURS, case, mode)
    found = numbers("torch-compile", case, mode)
    assert len(found) == 2 and all(difference(theirs, ours) < 1e-4 for theirs in found)


GRAPHS = {
    "activations": lambda x, k: ops.gelu(x) + ops.sigmoid(x) * ops.relu(x) + ops.gelu(x, approximate=False),
    "rows with max": lambda x, k: x - ops.max(x, axis=-1, keepdims=True),
    "product": lambda x, k: ops.einsum("ab,cb->ac", x, x),
    "three operands": lambda x, k: ops.einsum("ab,cb,cd->ad", x, x, x),
    "slices": lambda x, k: x[1:3, ::2] + 1.0,
    "gather": lambda x, k: ops.take(x, k, axis=0),
    "conditions": lambda x, k: ops.where(x > 0.0, ops.log1p(ops.exp(x)), ops.cast(k[:, None], "float32")),
    "normalised": lambda x, k: ops.log_softmax(x / ops.sqrt(ops.sum(ops.square(x), axis=1, keepdims=True))),
    "moves": lambda x, k: ops.concatenate([ops.transpose(x), ops.reshape(x, (5, 4))], axis=1),
    "powers": lambda x, k: ops.absolute(x) ** 1.5 + ops.maximum(x, 0.25) - ops.erf(x) / 3.0,
}


def computed(name: str, graph: Any, arguments: list[np.ndarray]) -> list[np.ndarray]:
    """A graph by one of the translations."""
    if name == "torch":
        torch_graph = pytest.importorskip("kgraph.bench.torch_graph", exc_type=ImportError)
        return [one.detach().numpy() for one in torch_graph.forward(graph, arguments)()]
    pytest.importorskip("onnx")
    runtime = pytest.importorskip("onnxruntime")
    from kgraph.bench import onnx_graph

    session = runtime.InferenceSession(onnx_graph.model(graph, arguments), providers=["CPUExecutionProvider"])
    names = {one.name for one in session.get_inputs()}
    return session.run(None, {f"in{k}": one for k, one in enumerate(arguments) if f"in{k}" in names})


@needs_modules
@pytest.mark.parametrize("peer", ["torch", "onnx"])
@pytest.mark.parametrize("name", GRAPHS)
def test_ops_mean_what_they_mean_in_numpy(name: str, peer: str) -> None:
    graph = trace(GRAPHS[name], TensorType((4, 5)), TensorType((4,), "int32"))
    x = np.random.default_rng(0).standard_normal((4, 5)).astype(np.float32)
    k = np.array([3, 0, 2, 3], np.int32)
    for theirs, ours in zip(computed(peer, graph, [x, k]), evaluate(graph, [x, k])[0], strict=True):
        np.testing.assert_allclose(theirs, ours, rtol=1e-5, atol=1e-6)


def test_names_of_peers() -> None:
    assert peers_named("") == ["numpy"]
    assert peers_named(" numpy, numpy") == ["numpy"]
    assert peers_named("all") == [name for name, peer in PEERS.items() if name != "numpy" and not peer.missing]
    with pytest.raises(ArgumentError, match="abacus"):
        peers_named("abacus")


def test_a_peer_that_is_not_installed_is_told_with_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "openvino", None)
    (line,) = [line for line in not_installed() if line.startswith("openvino ")]
    assert "pip install kgraph[bench]" in line and "openvino" not in peers_named("all")


def test_a_peer_says_what_it_cannot_compute() -> None:
    for package in PEERS["openvino"].packages:
        pytest.importorskip(package)
    graph = trace(lambda x: ops.cumsum(x, axis=0), TensorType((N,)))
    case = Case(Task("", 3, ("forward",)), None, graph, graph, [np.ones(3, np.float32)])
    with pytest.raises(UnknownHere, match="ONNX is not told how to compute cumsum"):
        EVERY["openvino"].make(case, "forward", 1)
