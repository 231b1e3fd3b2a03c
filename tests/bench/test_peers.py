"""Every peer computes kgraph's numbers, of the built-in models and of single ops."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from kgraph import ops
from kgraph.bench.adam import drift
from kgraph.bench.calls import UnknownHere
from kgraph.bench.case import MODES, Case, Task, case_of, difference, keep, kept
from kgraph.bench.chain import chain_of
from kgraph.bench.measure import NEAR
from kgraph.bench.models import MODELS
from kgraph.bench.peers import EVERY, OURS, PEERS, not_installed, peers_named
from kgraph.errors import ArgumentError
from kgraph.graph.evaluate import evaluate
from kgraph.graph.sizes import N
from kgraph.graph.types import TensorType
from kgraph.layers import (
    GRU,
    LSTM,
    Bidirectional,
    Conv2D,
    Dense,
    DepthwiseConv2D,
    Embedding,
    Flatten,
    Input,
    MaxPooling2D,
)
from kgraph.models import Model
from kgraph.tracing.trace import trace

SOME = ("mlp 37-113-29-7", "embedding 20 x 32", "normalised mlp", "transformer 128 x 256", "elementwise 512")
STEPPED = SOME[:1]  # beside the gradient there is nothing in a step that differs from model to model
TRANSLATED = [(name, mode) for name, peer in PEERS.items() if name != "torch-compile" for mode in peer.modes]
needs_modules = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::UserWarning", "ignore::FutureWarning")


def numbers(name: str, case: Case, mode: str) -> list[list[np.ndarray]]:
    """What each way of a contestant computes; the case has the weights that it had before."""
    start = kept(case)
    calls = EVERY[name].make(case, mode, 1)
    with calls.within():
        found = [calls.flat([call() for _ in range(calls.compared)][-1]) for call in calls.ways.values()]
    keep(case, start)
    return found


def distance(theirs: list[np.ndarray], ours: list[np.ndarray], mode: str) -> float:
    """How far the numbers lie apart, as a part of what is allowed."""
    return drift(theirs, ours) / NEAR["step"] if mode == "step" else difference(theirs, ours) / 1e-4


@needs_modules
@pytest.mark.parametrize(("name", "mode"), TRANSLATED)
def test_numbers_are_ours(name: str, mode: str) -> None:
    for package in PEERS[name].packages:
        pytest.importorskip(package)
    for model in STEPPED if mode == "step" else SOME:
        case = case_of(Task(model, 3, (mode,)))
        (ours,) = numbers(OURS, case, mode)
        for theirs in numbers(name, case, mode):
            assert distance(theirs, ours, mode) < 1, model


@needs_modules
@pytest.mark.slow
@pytest.mark.parametrize("mode", MODES)
def test_torch_compiles_the_same(mode: str) -> None:
    pytest.importorskip("torch")
    case = case_of(Task("mlp 37-113-29-7", 3, (mode,)))
    (ours,) = numbers(OURS, case, mode)
    found = numbers("torch-compile", case, mode)
    assert len(found) == 2 and all(distance(theirs, ours, mode) < 1 for theirs in found)


def cells(kind: Any) -> Any:
    """Words, read by a loop."""
    x = Input((5,), dtype="int32")
    return Model(x, Dense(3, activation="softmax")(kind(Embedding(7, 4)(x))))


def image() -> Any:
    """All layers for images, with borders and strides."""
    x = Input((9, 8, 2))
    value = Conv2D(6, 3, padding="same", activation="relu")(x)
    value = MaxPooling2D((2, 3))(DepthwiseConv2D((3, 2), depth_multiplier=2, activation="tanh")(value))
    return Model(x, Dense(3)(Flatten()(Conv2D(4, 2, strides=(2, 1), groups=2)(value))))


LAYERED: dict[str, Any] = {
    "both ways": lambda: cells(Bidirectional(LSTM(4))),
    "loop after loop": lambda: cells(
        lambda words: GRU(3)(Bidirectional(GRU(4, return_sequences=True))(LSTM(5, return_sequences=True)(words)))
    ),
    "image": image,
    "image to image": lambda: Model(x := Input((6, 5, 2)), DepthwiseConv2D(3, padding="same")(x)),
}


@needs_modules
@pytest.mark.parametrize("model", LAYERED)
@pytest.mark.parametrize("name", ["jax", "torch", "onnxruntime", "openvino"])
def test_layers_become_what_peers_have_for_them(name: str, model: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for package in PEERS[name].packages:
        pytest.importorskip(package)
    monkeypatch.setitem(MODELS, model, LAYERED[model])
    monkeypatch.setattr("kgraph.bench.layer_peers.UNROLLED", (1,))
    mode = PEERS[name].modes[:2][-1]
    case = case_of(Task(model, 3, (mode,)))
    assert chain_of(case)
    (ours,) = numbers(OURS, case, mode)
    for theirs in numbers(name, case, mode):
        assert distance(theirs, ours, mode) < 1


@pytest.mark.parametrize("layer", [LSTM(4, go_backwards=True), GRU(4, reset_after=False), LSTM(4, dropout=0.1)])
def test_layers_with_options_that_are_not_foreseen_are_told_by_their_ops(
    layer: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(MODELS, "other", lambda: cells(layer))
    case = case_of(Task("other", 3, ("forward",)))
    assert chain_of(case) is None
    with pytest.raises(UnknownHere, match=r"torch is not told how to compute .*loop"):
        pytest.importorskip("torch") and EVERY["torch"].make(case, "forward", 1)


@needs_modules
@pytest.mark.parametrize("name", ["jax", "torch"])
def test_layers_take_steps(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip(name)
    monkeypatch.setattr("kgraph.bench.layer_peers.UNROLLED", (1,))
    monkeypatch.setitem(MODELS, "image", image)
    case = case_of(Task("image", 3, ("step",)))
    (ours,) = numbers(OURS, case, "step")
    for theirs in numbers(name, case, "step"):
        assert distance(theirs, ours, "step") < 1


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
        module = torch_graph.Module(graph, [one.shape for one in arguments])
        return [one.detach().numpy() for one in module(*torch_graph.tensors(arguments))]
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
