"""Loops cut along the batch: which are, and that every part does what the whole would."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import kgraph as kg
from kgraph import layers, ops
from kgraph.codegen.plan.cut import SAMPLES
from kgraph.codegen.plan.steps import Loop
from kgraph.ops.loops import scan

BATCHES = (0, 1, SAMPLES, SAMPLES + 1, 3 * SAMPLES + 5)
weights = np.random.default_rng(3).standard_normal((6, 6)).astype(np.float32) * 0.4


def over_time(step: Callable[[Any, Any], Any]) -> Callable[[Any], Any]:
    """A scan along axis 1 that begins with the samples' first steps; its last state and all states."""

    def function(x: Any) -> Any:
        def each(state: Any, now: Any) -> Any:
            new = step(state, now)
            return new, new

        last, states = scan(each, x[:, 0], ops.transpose(x, (1, 0, 2)))
        return [last, states]

    return function


def turned(x: Any) -> Any:
    """The six numbers of each sample in another order."""
    return ops.reshape(ops.transpose(ops.reshape(x, (-1, 2, 3)), (0, 2, 1)), (-1, 6))


CUT: dict[str, Callable[[Any], Any]] = {
    "products": over_time(lambda h, x: ops.tanh(ops.matmul(h, weights) + x)),
    "parts of a state": over_time(lambda h, x: ops.concatenate([h[:, 3:] * x[:, :3], ops.sin(h[:, :3])], axis=1)),
    "sums of a sample": over_time(lambda h, x: h / (1.0 + ops.sum(h * h, axis=1, keepdims=True)) + x),
    "a sample in another order": over_time(lambda h, x: ops.flip(h, axis=1) + turned(h) * 0.3 + x),
    "a product of a sample with itself": over_time(lambda h, x: ops.einsum("na,nb->na", h, x) * 0.1),
}  # fmt: skip
WHOLE: dict[str, Callable[[Any], Any]] = {
    "a mean of the batch": over_time(lambda h, x: h - ops.mean(h, axis=0, keepdims=True) + x),
    "the samples in another order": over_time(lambda h, x: ops.flip(h, axis=0) + x),
    "a sample from its neighbour": over_time(lambda h, x: ops.roll(h, 1, axis=0) * 0.5 + x),
    "how many there are": over_time(lambda h, x: h + x / ops.cast(ops.shape(x)[0], "float32")),
    "a product with the batch": over_time(lambda h, x: ops.einsum("na,nb,mb->na", x, x, h) * 0.01),
}


def counted(x: Any) -> Any:
    """Each step computes a number of its own, which all samples share."""

    def each(state: Any, now: Any) -> Any:
        step, turn = now
        return ops.where(ops.sin(turn) > 0, state + step, ops.cumsum(ops.ones((6,)) * turn) - state), None

    last, _ = scan(each, x[:, 0], (ops.transpose(x, (1, 0, 2)), ops.arange(7, dtype="float32")))
    return [last, last * 2.0]


WHOLE["a value of the step that samples share"] = counted


def compiled(function: Callable[[Any], Any], threads: int | None = None) -> Any:
    return kg.compile(function, inputs=[kg.Input((7, 6))], threads=threads)


def loops(f: Any) -> list[Loop]:
    return [step for step in f._forward().program.plan.steps if isinstance(step, Loop)]


def given(batch: int) -> np.ndarray:
    return np.random.default_rng(batch).standard_normal((batch, 7, 6)).astype(np.float32)


@pytest.mark.parametrize("case", [*CUT, *WHOLE])
def test_a_loop_is_cut_where_samples_do_not_know_each_other(case: str) -> None:
    function = {**CUT, **WHOLE}[case]
    f = compiled(function)
    assert [loop.cut is not None for loop in loops(f)] == [case in CUT]
    for batch in BATCHES:
        if batch == 0 and case not in CUT:
            continue  # the mean of no sample
        x = given(batch)
        for found, wanted in zip(f(x), function(x), strict=True):
            np.testing.assert_allclose(found, wanted, rtol=0, atol=3e-6 * (1 + np.abs(wanted).max(initial=0)))


@pytest.mark.parametrize("case", CUT)
def test_threads_do_not_change_a_bit(case: str) -> None:
    x = given(BATCHES[-1])
    found = [compiled(CUT[case], threads)(x)[1] for threads in (1, 2, 5)]
    assert all((one == found[0]).all() for one in found)


def test_samples_do_not_change_with_those_around_them() -> None:
    x = given(BATCHES[-1])
    f = compiled(CUT["products"])
    np.testing.assert_array_equal(f(x)[0][SAMPLES : 2 * SAMPLES], f(x[SAMPLES : 2 * SAMPLES])[0])


@pytest.mark.parametrize("threads", [1, 4])
@pytest.mark.parametrize("name", ["LSTM", "GRU", "SimpleRNN"])
def test_recurrent_layers_and_their_gradients(name: str, threads: int) -> None:
    x = kg.Input((7, 6))
    states = layers.Bidirectional(getattr(layers, name)(5, return_sequences=True))(layers.Masking()(x))
    model = kg.Model(x, layers.Dense(3)(getattr(layers, name)(4)(states)))
    g = kg.compile(model, loss="mse", threads=threads)
    alone = kg.compile(model, loss="mse", threads=1)
    for batch in BATCHES[1:]:
        data, target = given(batch), np.ones((batch, 3), np.float32)
        data[0, 3:] = 0.0
        np.testing.assert_allclose(g(data), np.asarray(model(data)), rtol=0, atol=2e-6)
        loss, found = g.value_and_grad(data, target)
        parts = [alone.value_and_grad(data[n : n + 1], target[n : n + 1]) for n in range(batch)]
        assert loss == pytest.approx(np.mean([one for one, _ in parts]), rel=1e-5)
        for number, one in enumerate(found):
            wanted = np.mean([grads[number] for _, grads in parts], axis=0)
            np.testing.assert_allclose(one, wanted, rtol=0, atol=3e-6 * (1 + np.abs(wanted).max()))


def test_calls_from_many_threads_at_once() -> None:
    from concurrent.futures import ThreadPoolExecutor

    f, x = compiled(CUT["products"], 3), given(BATCHES[-1])
    wanted = f(x)[0]
    with ThreadPoolExecutor(4) as pool:
        assert all((found[0] == wanted).all() for found in pool.map(lambda _: f(x), range(40)))
