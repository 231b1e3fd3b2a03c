"""Who is measured: kgraph, and other ways to compute the same graph. A new one is a row in PEERS.

Each gets its natural form: idioms.py names what it has functions for, weights lie as it likes them, and inputs are
arrays of its own where that is how it is used.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from importlib import metadata
from importlib.util import find_spec
from typing import Any

import numpy as np

import kgraph
from kgraph import tree
from kgraph.bench import layer_peers
from kgraph.bench.adam import DECAYS, EPSILON, RATE
from kgraph.bench.calls import Calls, UnknownHere, arguments_of, graph_of, single, stepping
from kgraph.bench.case import MODES, Case
from kgraph.bench.chain import chain_of
from kgraph.errors import ArgumentError, MissingExtraError
from kgraph.executable.executable import Executable
from kgraph.graph.evaluate import evaluate
from kgraph.optimizers import Adam

OURS = "kgraph"


@dataclass(frozen=True)
class Peer:
    """How a peer is made for a case, and the packages it needs."""

    make: Callable[[Case, str, int], Calls]  # (case, mode, threads); raises UnknownHere
    packages: Sequence[str]
    modes: Sequence[str] = MODES

    @property
    def missing(self) -> list[str]:
        """The packages that are not installed."""
        return [name for name in self.packages if find_spec(name) is None]

    @property
    def version(self) -> str:
        """Of the package that computes, which is named first."""
        return metadata.version(self.packages[0])


def kgraph_step(case: Case, threads: int, eager: bool = False) -> Calls:
    """The step of a model compiled with Adam; eager: by numpy, op after op. It changes the weights of the case."""
    model = case.model

    def read(found: Any) -> list[Any]:
        loss = found["loss"] if eager else found[0]
        return [loss, *(variable.numpy() for variable in model.trainable_variables)]

    if eager:
        with_adam(case, eager)
        return stepping(case, {"": partial(model.train_step, (single(case.inputs), single(case.targets)))}, read)
    return stepping(case, {"": partial(step_of(case), *case.inputs, *case.targets)}, read)


def step_of(case: Case) -> Executable:
    """The program of a training step, compiled now."""
    with_adam(case)
    step = case.model.steps_for("train").compiled((single(case.inputs), single(case.targets)))
    return step.executable


def with_adam(case: Case, eager: bool = False) -> None:
    """Settle how the model is trained."""
    case.model.compile(Adam(RATE, *DECAYS, epsilon=EPSILON), case.task.loss, run_eagerly=eager)


def kgraph_peer(case: Case, mode: str, threads: int) -> Calls:
    """Arrays in, new arrays out."""

    def flat(outputs: Any) -> list[np.ndarray]:
        nested = outputs if isinstance(outputs, (list, tuple)) else tree.flatten(outputs)
        return [np.asarray(one) for one in tree.flatten(list(nested))]

    if mode == "forward":
        call = partial(kgraph.compile(case.model, threads=threads), *case.inputs)
        return Calls({"": call}, flat)
    if mode == "step":
        return kgraph_step(case, threads)
    compiled = kgraph.compile(case.model, loss=case.task.loss, threads=threads)
    return Calls({"": partial(compiled.value_and_grad, single(case.inputs), single(case.targets))}, flat)


def numpy_peer(case: Case, mode: str, threads: int) -> Calls:
    """numpy, one op after the other: what a graph means."""
    if mode == "forward":
        return Calls({"": lambda: evaluate(case.forward, case.inputs)[0]})
    if mode == "step":
        return kgraph_step(case, threads, eager=True)
    return Calls({"": lambda: evaluate(case.backward, [*case.inputs, *case.targets])[0]})  # type: ignore[arg-type]


def jax_peer(case: Case, mode: str, threads: int) -> Calls:
    """The same ops with jax.numpy, compiled whole by jax.jit, given arrays that are jax's already."""
    from kgraph.bench import jax_calls, jax_graph

    if chain := chain_of(case):
        return layer_peers.by_jax(case, mode, chain)
    check_known("jax", jax_graph.unknown_ops, case, mode)
    arguments = arguments_of(case, mode)
    run, params = jax_graph.made_for(graph_of(case, mode), arguments)
    if mode == "forward":
        return Calls({"": jax_calls.forward(run, params, arguments)})
    if mode == "grad":
        return Calls({"": jax_calls.gradient(run, params, arguments, case.weights)})
    return stepping(case, {"": jax_calls.step(run, params, arguments, case.weights)})


def keras_peer(case: Case, mode: str, threads: int) -> Calls:
    """The model rebuilt in Keras with the jax backend."""
    from kgraph.bench import keras_model

    try:
        rebuilt = keras_model.Rebuilt(case.model, case.layers)
    except keras_model.Unknown as error:
        raise UnknownHere(f"keras is not told how to build {error}") from error
    if mode == "forward":
        return Calls(keras_model.forward(rebuilt, case.inputs), lambda found: tree_of_arrays(found))
    if not isinstance(case.task.loss, str):
        raise UnknownHere("keras wants a loss by its name")
    weights = list(case.model.trainable_variables)
    if mode == "step":
        call, read = keras_model.step(rebuilt, case.inputs, case.targets, weights, case.task.loss)
        return stepping(case, {"": call}, read)
    call, flat = keras_model.gradient(rebuilt, case.inputs, case.targets, weights, case.task.loss)
    return Calls({"": call}, flat)


def tree_of_arrays(found: Any) -> list[np.ndarray]:
    """One output, or a list of them, as arrays."""
    return [np.asarray(one) for one in (found if isinstance(found, (list, tuple)) else [found])]


def torch_peer(case: Case, mode: str, threads: int, compiled: bool = False) -> Calls:
    """torch's functions one after the other, or the same compiled by torch.compile; tensors in, tensors out."""
    import torch

    from kgraph.bench import torch_calls, torch_graph

    torch.set_num_threads(threads)
    if chain := chain_of(case):
        return layer_peers.by_torch(case, mode, chain, compiled)
    check_known("torch", torch_graph.unknown_ops, case, mode)
    if mode == "forward":
        module = torch_graph.Module(case.forward, [one.shape for one in case.inputs])
        make = partial(torch_calls.forward, module, torch_calls.tensors(case.inputs))
        ways = {"compiled": make(True), "frozen": make(True, True)} if compiled else {"": make()}
        within = torch.no_grad if compiled else torch.inference_mode
        return Calls(ways, lambda found: [one.detach().numpy() for one in found], within)
    made = partial(torch_graph.made_for, graph_of(case, mode), arguments_of(case, mode), case.weights)
    if mode == "grad":
        return Calls(*torch_calls.gradient(made(), compiled))
    return stepping(case, *torch_calls.step(made, compiled))


def onnxruntime_peer(case: Case, mode: str, threads: int) -> Calls:
    """An inference session; arrays in, arrays out."""
    import onnxruntime

    model, inputs, read = onnx_model(case, mode)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads, options.inter_op_num_threads = threads, 1
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_ALL
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
    given = {f"in{number}": one for number, one in enumerate(inputs)}
    names = {one.name for one in session.get_inputs()}
    return Calls({"": partial(session.run, None, {name: one for name, one in given.items() if name in names})}, read)


def openvino_peer(case: Case, mode: str, threads: int) -> Calls:
    """A model compiled for one request at a time, all in float32; arrays in, arrays out."""
    import openvino

    model, inputs, read = onnx_model(case, mode)
    hints = {"PERFORMANCE_HINT": "LATENCY", "INFERENCE_NUM_THREADS": threads, "INFERENCE_PRECISION_HINT": "f32"}
    core = openvino.Core()
    compiled = core.compile_model(core.read_model(model), "CPU", hints)
    given: Any = inputs[0]
    if len(inputs) > 1:
        given = {f"in{number}": one for number, one in enumerate(inputs)}
    count = len(compiled.outputs)
    return Calls({"": partial(compiled, given)}, lambda found: read([found[number] for number in range(count)]))


def onnx_model(case: Case, mode: str) -> tuple[bytes, list[np.ndarray], Callable[[Any], list[np.ndarray]]]:
    """The model, its inputs, and how to read its outputs."""
    from kgraph.bench import onnx_graph, onnx_layers

    if chain := chain_of(case):
        return onnx_layers.model(case, chain), onnx_layers.arrays(case.inputs), onnx_layers.read_outputs
    check_known("ONNX", onnx_graph.unknown_ops, case, mode)
    return onnx_graph.model(case.forward, case.inputs), list(case.inputs), lambda found: [*map(np.asarray, found)]


def check_known(name: str, unknown: Callable[[Any], list[str]], case: Case, mode: str) -> None:
    """UnknownHere if the graph has ops that the peer's table lacks."""
    found = unknown(graph_of(case, mode))
    if found:
        raise UnknownHere(f"{name} is not told how to compute {', '.join(found)}")


PEERS: dict[str, Peer] = {
    "numpy": Peer(numpy_peer, ("numpy",)),
    "keras": Peer(keras_peer, ("keras", "jax")),
    "jax": Peer(jax_peer, ("jax",)),
    "torch": Peer(torch_peer, ("torch",)),
    "torch-compile": Peer(partial(torch_peer, compiled=True), ("torch",)),
    "onnxruntime": Peer(onnxruntime_peer, ("onnxruntime", "onnx"), ("forward",)),
    "openvino": Peer(openvino_peer, ("openvino", "onnx"), ("forward",)),
}
EVERY = {OURS: Peer(kgraph_peer, (OURS,)), **PEERS}


def peers_named(text: str) -> list[str]:
    """The peers of a list such as "jax,torch"; those installed but for numpy if it is "all", numpy alone if it is "".

    ArgumentError for a name that is none; MissingExtraError for a package that is not installed.
    """
    names = [name.strip() for name in text.split(",") if name.strip()] or ["numpy"]
    if names == ["all"]:
        return [name for name, peer in PEERS.items() if name != "numpy" and not peer.missing]
    for name in names:
        if name not in PEERS:
            raise ArgumentError(f"--vs knows all, {', '.join(PEERS)}, and not {name!r}")
        for package in PEERS[name].missing:
            raise MissingExtraError(f"--vs {name} needs the package {package}: pip install kgraph[bench]")
    return list(dict.fromkeys(names))


def not_installed() -> list[str]:
    """A line for each peer that "all" leaves out."""
    return [
        f"{name} was left out: {' and '.join(peer.missing)} is not installed; pip install kgraph[bench] brings it"
        for name, peer in PEERS.items()
        if peer.missing
    ]
