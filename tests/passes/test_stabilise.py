"""Losses computed from probabilities end in the stable form; what only looks like it stays."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from graphs import made, ops, same, values

from kgraph import losses
from kgraph.gradients.autodiff import gradients
from kgraph.graph.ir import Graph
from kgraph.graph.sizes import N
from kgraph.graph.types import TensorType
from kgraph.ops.arithmetic import maximum, minimum, multiply
from kgraph.ops.probabilities import log_softmax, softmax
from kgraph.ops.statistics import sum
from kgraph.ops.transcendental import exp, expm1, log, log1p, sigmoid, softplus
from kgraph.passes.stabilise import stabilise

F32 = (N, 4)


def clip(x: Any, low: Any, high: Any) -> Any:
    return minimum(maximum(x, low), high)


FIRES: dict[str, tuple[Callable[..., Any], Callable[..., Any]]] = {
    "log of softmax": (lambda x: log(softmax(x)), lambda x: log_softmax(x)),
    "log of softmax along another axis": (lambda x: log(softmax(x, axis=0)), lambda x: log_softmax(x, axis=0)),
    "softmax over its sum": (lambda x: (p := softmax(x)) / sum(p, -1, keepdims=True), lambda x: softmax(x)),
    "log of clipped softmax": (
        lambda x: log(clip(softmax(x), 0.01, 0.99)),
        lambda x: clip(log_softmax(x), np.log(0.01), np.log(0.99)),
    ),
    "log of sigmoid": (lambda x: log(sigmoid(x)), lambda x: -softplus(-x)),
    "log of 1 - sigmoid": (lambda x: log(1.0 - sigmoid(x)), lambda x: -softplus(x)),
    "log of clipped sigmoid": (
        lambda x: log(clip(sigmoid(x), 0.01, 0.99)),
        lambda x: clip(-softplus(-x), np.log(0.01), np.log(0.99)),
    ),
    "log of 1 - clipped sigmoid": (
        lambda x: log(1.0 - clip(sigmoid(x), 0.01, 0.98)),
        lambda x: clip(-softplus(x), np.log(1.0 - 0.98), np.log(0.99)),
    ),
    "log of 1 + exp": (lambda x: log(1.0 + exp(x)), lambda x: softplus(x)),
    "log of exp + 1": (lambda x: log(exp(x) + 1.0), lambda x: softplus(x)),
    "log1p of exp": (lambda x: log1p(exp(x)), lambda x: softplus(x)),
    "log of 1 + x": (lambda x: log(1.0 + multiply(x, x)), lambda x: log1p(multiply(x, x))),
    "log of exp": (lambda x: log(exp(x)) * 2.0, lambda x: x * 2.0),
    "exp - 1": (lambda x: exp(x) - 1.0, lambda x: expm1(x)),
    "sigmoid by hand": (lambda x: 1.0 / (1.0 + exp(-x)), lambda x: sigmoid(x)),
    "the other sigmoid by hand": (lambda x: (e := exp(x)) / (1.0 + e), lambda x: sigmoid(x)),
}
STAYS: dict[str, Callable[..., Any]] = {
    "softmax over the sum along another axis": lambda x: (p := softmax(x)) / sum(p, 0, keepdims=True),
    "softmax over another one's sum": lambda x: softmax(x) / sum(softmax(x * 2.0), -1, keepdims=True),
    "log of clipped to what has no log": lambda x: log(clip(softmax(x), -0.5, 0.99)),
    "log of 1 - clipped above 1": lambda x: log(1.0 - clip(sigmoid(x), 0.01, 1.5)),
    "log of 2 - sigmoid": lambda x: log(2.0 - sigmoid(x)),
    "log of sigmoid - 1": lambda x: log(sigmoid(x) - 1.0),
    "log of 2 + exp": lambda x: log(2.0 + exp(x)),
    "exp + 1": lambda x: exp(x) + 1.0,
    "softmax": lambda x: softmax(x),
    "log_softmax": lambda x: log_softmax(x),
}


@pytest.mark.parametrize("case", FIRES)
def test_it_is_stabilised(case: str) -> None:
    call, wanted = FIRES[case]
    before = made(call, F32)
    assert sorted(ops(same(before, stabilise(before)))) == sorted(ops(made(wanted, F32)))


@pytest.mark.parametrize("case", STAYS)
def test_it_stays(case: str) -> None:
    before = made(STAYS[case], F32)
    assert ops(stabilise(before)) == ops(before)


def test_probabilities_that_are_an_output_too_stay_as_they_are() -> None:
    before = made(lambda x: [p := softmax(x), log(p)], F32)
    after = same(before, stabilise(before))
    assert after.outputs == before.outputs
    assert ops(after).count("log_softmax") == 1 and "log" not in ops(after)


LOSSES: dict[str, tuple[Callable[..., Any], Any, Callable[..., Any]]] = {
    "categorical_crossentropy": (
        lambda x, t: losses.categorical_crossentropy(t, softmax(x)),
        TensorType((N, 4)),
        lambda x, t: -(t * _log_softmax(x)).sum(-1),
    ),
    "sparse_categorical_crossentropy": (
        lambda x, t: losses.sparse_categorical_crossentropy(t, softmax(x)),
        TensorType((N,), "int32"),
        lambda x, t: -np.take_along_axis(_log_softmax(x), t[:, None], -1)[:, 0],
    ),
    "binary_crossentropy": (
        lambda x, t: losses.binary_crossentropy(t, sigmoid(x)),
        TensorType((N, 4)),
        lambda x, t: (np.logaddexp(x, 0) - t * x).mean(-1),
    ),
}


def _log_softmax(x: np.ndarray) -> np.ndarray:
    return x - x.max(-1, keepdims=True) - np.log(np.exp(x - x.max(-1, keepdims=True)).sum(-1, keepdims=True))


def _loss(case: str) -> Graph:
    call, target, _ = LOSSES[case]
    return made(call, F32, target)


def _given(case: str, scale: float) -> list[np.ndarray]:
    random = np.random.default_rng(0)
    x = (random.normal(size=(6, 4)) * scale).astype("float32")
    if case.startswith("sparse"):
        return [x, random.integers(0, 4, 6).astype("int32")]
    return [x, np.eye(4, dtype="float32")[random.integers(0, 4, 6)]]


@pytest.mark.parametrize("case", LOSSES)
def test_losses_from_probabilities_divide_and_take_no_logarithm_of_small_numbers(case: str) -> None:
    before = _loss(case)
    after = same(before, stabilise(before), given=_given(case, 1.0))
    named = {node.name for node in after if node.op == "log"}
    sums = {after[after.arguments(name)[0]].op for name in named}
    assert sums <= {"sum"}, "only log_softmax's own logarithm of a sum is left"
    assert ops(after).count("exp") <= 1


@pytest.mark.parametrize("case", LOSSES)
def test_losses_and_gradients_are_as_exact_as_from_logits(case: str) -> None:
    given = _given(case, 3.0)
    after = stabilise(_loss(case))
    exact = LOSSES[case][2](given[0].astype("float64"), given[1])
    np.testing.assert_allclose(values(after, given)[0], exact, rtol=1e-5, atol=1e-6)
    slope = values(gradients(after, after.outputs[0], ["x0"]), given)[1]
    x = given[0].astype("float64")
    step = 1e-5 * np.eye(4)
    wanted = np.stack(
        [(LOSSES[case][2](x + one, given[1]) - LOSSES[case][2](x - one, given[1])) / 2e-5 for one in step], -1
    )
    np.testing.assert_allclose(slope, wanted, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("case", LOSSES)
def test_losses_clip_where_those_of_keras_do(case: str) -> None:
    before, given = _loss(case), _given(case, 200.0)
    after = values(stabilise(before), given)[0]
    np.testing.assert_allclose(after, values(before, given)[0], rtol=1e-4, atol=1e-6)
    assert np.isfinite(after).all()
