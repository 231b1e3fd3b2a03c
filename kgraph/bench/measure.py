"""One model, measured: compiled, compared with the others on the same numbers, then timed beside them."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass, field
from functools import partial
from time import perf_counter
from typing import Any

import numpy as np

import kgraph
from kgraph.bench.data import inputs_for, sizes_for, targets_for
from kgraph.bench.peers import PEERS, Case, Contestant, UnknownHere
from kgraph.bench.timing import Sample, contest
from kgraph.bench.work import Memory, memory, operations
from kgraph.ir import Graph
from kgraph.passes.open import open_composed

OURS = "kgraph"
NEAR = 2e-3  # of the largest number: the contestants sum float32 in different orders


@dataclass(frozen=True)
class Settings:
    """What to measure, and for how long."""

    batches: Sequence[int] = (1, 32)
    seconds: float = 0.3  # for each contestant, each time it is measured
    threads: int | None = None
    loss: Any = "mse"
    peers: Sequence[str] = ("numpy",)


@dataclass(frozen=True)
class Compiled:
    """A model's two programs, and how long it took to make them with no kernel in the cache."""

    forward: Any
    gradient: Any
    forward_seconds: float
    gradient_seconds: float


@dataclass
class Rival:
    """How one of the others did: its times, and how far its numbers are from ours, as a part of the largest."""

    call: Sample | None = None
    gradient: Sample | None = None
    call_difference: float = 0.0
    gradient_difference: float = 0.0
    absent: str = ""  # why it was not measured


@dataclass
class Row:
    """All that is known of one model with one batch size."""

    model: str
    batch: int
    compiled: Compiled
    operations: int
    memory: Memory
    call: Sample
    gradient: Sample
    rivals: dict[str, Rival] = field(default_factory=dict)

    @property
    def items_per_second(self) -> float:
        return self.batch / self.call.median

    @property
    def gflops(self) -> float:
        """10**9 operations of the forward pass per second."""
        return self.operations / self.call.median / 1e9

    @property
    def faults(self) -> list[str]:
        """Contestants whose numbers are not ours, in words."""
        found = []
        for name, rival in self.rivals.items():
            for what, gap in (("outputs", rival.call_difference), ("gradients", rival.gradient_difference)):
                if not gap <= NEAR:
                    found.append(f"{self.model}, batch {self.batch}: {what} differ from {name}'s by {gap:.1e}")
        return found


def compile_both(model: Any, settings: Settings) -> Compiled:
    """The forward program and the one with gradients, made with an empty cache."""
    with empty_cache():
        started = perf_counter()
        forward = kgraph.compile(model, threads=settings.threads)
        half = perf_counter()
        gradient = kgraph.compile(model, loss=settings.loss, threads=settings.threads)
        return Compiled(forward, gradient, half - started, perf_counter() - half)


def measure(name: str, model: Any, settings: Settings, compiled: Compiled | None = None) -> Iterator[Row]:
    """One row for each batch size."""
    compiled = compiled or compile_both(model, settings)
    for batch in settings.batches:
        yield one_row(name, compiled, batch, settings)


def one_row(name: str, compiled: Compiled, batch: int, settings: Settings) -> Row:
    """Compare first, then measure the calls of all, then their gradients."""
    case = case_of(compiled, batch)
    rivals, others = {}, {}
    for peer in settings.peers:
        try:
            others[peer] = PEERS[peer](case)
            rivals[peer] = Rival()
        except UnknownHere as error:
            rivals[peer] = Rival(absent=str(error))
    ours = own(compiled, case)
    for peer, other in others.items():
        rivals[peer].call_difference = difference(other.flat(other.call()), ours.flat(ours.call()))
    calls = contest({one.name: one.call for one in (ours, *others.values())}, settings.seconds)
    gradients = measured_gradients(ours, others, rivals, settings.seconds)
    for peer in others:
        rivals[peer].call, rivals[peer].gradient = calls[peer], gradients.get(peer)
    sizes = sizes_for(case.forward, batch)
    batch = case.inputs[0].shape[0] if case.inputs and case.inputs[0].ndim else 1
    held = memory(compiled.forward.ir, sizes)
    done = operations(case.forward, sizes)
    return Row(name, batch, compiled, done, held, calls[OURS], gradients[OURS], rivals)


def measured_gradients(
    ours: Contestant, others: Mapping[str, Contestant], rivals: Mapping[str, Rival], seconds: float
) -> dict[str, Sample]:
    """The others' numbers come first: our call may change state, such as moving averages."""
    calls: dict[str, Callable[[], Any]] = {}
    theirs = {}
    for name, other in others.items():
        if other.gradient is not None:
            theirs[name] = other.flat(other.gradient())
            calls[name] = other.gradient
    assert ours.gradient is not None
    found = ours.flat(ours.gradient())
    for name, values in theirs.items():
        rivals[name].gradient_difference = difference(values, found)
    return contest({OURS: ours.gradient, **calls}, seconds)


def case_of(compiled: Compiled, batch: int) -> Case:
    """The graphs before fusion, and numbers for their inputs."""
    forward, loss = before_gradients(compiled.forward.stages), before_gradients(compiled.gradient.stages)
    names = [name for name in loss.inputs if name not in forward.inputs]
    last = forward[forward.outputs[0]].tensor.shape[-1:]
    classes = last[0] if last and isinstance(last[0], int) else 2
    known = {id(node.attrs["variable"]): node.name for node in loss.params()}
    weights = [known.get(id(variable), "") for variable in compiled.gradient.definition.weights]
    return Case(
        forward=forward,
        inputs=inputs_for(forward, batch),
        loss=loss,
        backward=compiled.gradient.stages["gradients"],
        weights=weights,
        targets=targets_for(loss, names, classes, batch),
    )


def before_gradients(stages: Mapping[str, Graph]) -> Graph:
    """The op graph to which gradients are added, with softmax and the like written out."""
    names = list(stages)
    return open_composed(stages[names[names.index("gradients") - 1]])


def own(compiled: Compiled, case: Case) -> Contestant:
    """Our two calls."""
    targets: Any = case.targets[0] if len(case.targets) == 1 else list(case.targets)
    inputs: Any = case.inputs[0] if len(case.inputs) == 1 else list(case.inputs)

    def flat(outputs: Any) -> list[np.ndarray]:
        nested = outputs if isinstance(outputs, (list, tuple)) else kgraph.tree.flatten(outputs)
        return [np.asarray(one) for one in kgraph.tree.flatten(list(nested))]

    gradient = partial(compiled.gradient.value_and_grad, inputs, targets)
    return Contestant(OURS, partial(compiled.forward, *case.inputs), gradient, flat)


def difference(theirs: Sequence[np.ndarray], ours: Sequence[np.ndarray]) -> float:
    """The largest distance of two numbers, as a part of the largest number there is; infinite for other shapes."""
    if len(theirs) != len(ours):
        return float("inf")
    largest = max((float(np.max(np.abs(one), initial=0.0)) for one in theirs), default=0.0)
    gaps = [np.max(np.abs(np.subtract(a, b, dtype=np.float64)), initial=0.0) for a, b in zip(theirs, ours, strict=True)]
    return float(max(gaps, default=0.0)) / max(largest, 1e-6)


def start_up() -> float:
    """Seconds that the first kernel of a process costs where nothing is cached: numba, LLVM and the native runtime."""
    with empty_cache():
        started = perf_counter()
        kgraph.compile(lambda x: x + 1, inputs=[kgraph.Input((1,))])
        return perf_counter() - started


@contextmanager
def empty_cache() -> Iterator[None]:
    """Inside the block, no kernel comes from the disk, and none made is left there."""
    before = os.environ.get("KGRAPH_CACHE_DIR")
    with tempfile.TemporaryDirectory(prefix="kgraph-bench-") as folder:
        os.environ["KGRAPH_CACHE_DIR"] = folder
        try:
            yield
        finally:
            if before is None:
                del os.environ["KGRAPH_CACHE_DIR"]
            else:
                os.environ["KGRAPH_CACHE_DIR"] = before


@contextmanager
def bound_to(threads: int | None) -> Iterator[None]:
    """Inside the block, this process and what it starts may use so many CPUs, where the system can be told.

    numpy's threads, which there are as many of as CPUs at its start, are limited too if threadpoolctl is installed:
    they would wait for each other on the CPUs that are left.
    """
    if threads is None or not hasattr(os, "sched_setaffinity"):
        yield
        return
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, sorted(before)[:threads])
    try:
        with blas_threads(threads):
            yield
    finally:
        os.sched_setaffinity(0, before)


def blas_threads(threads: int) -> AbstractContextManager[Any]:
    """Inside the block, numpy's products use so many threads."""
    try:
        from threadpoolctl import threadpool_limits
    except ImportError:
        return nullcontext()
    return threadpool_limits(threads)
