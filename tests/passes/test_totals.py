"""Sums of everything beside sums of columns: one kernel where both are made of the same costly elements."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import kgraph as kg
from kgraph import ops
from kgraph.graph.evaluate import evaluate

RNG = np.random.default_rng(8)
X, Y = (RNG.normal(size=(37, 19)).astype(np.float32) for _ in range(2))
W = RNG.normal(size=19).astype(np.float32)


def compiled(call: Callable[..., Any], *arrays: np.ndarray, **options: Any) -> Any:
    """The function, whose results are those of its traced graph, for any number of rows."""
    inputs = [kg.Input(array.shape[1:]) if array.ndim == 2 else kg.Input(batch_shape=array.shape) for array in arrays]
    run = kg.compile(call, inputs=inputs, **options)
    for rows in (37, 1, 0):
        given = [array[:rows] if array.ndim == 2 else array for array in arrays]
        wanted, _ = evaluate(run.stages["trace"], given)
        for one, other in zip(run(*given), wanted, strict=True):
            np.testing.assert_allclose(one, other, rtol=2e-5, atol=2e-5)
    return run


def kernels(run: Any) -> list[str]:
    return [node.name for node in run.ir if node.op not in ("input", "param", "const", "reshape", "item")]


@pytest.mark.parametrize("target", ["cpu", "cuda"])
def test_a_loss_and_sums_of_columns_are_one_walk(target: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KGRAPH_CUDA", "emulate")

    def call(x: Any, y: Any, w: Any) -> Any:
        bent = ops.tanh(x * w)
        rows = ops.mean(ops.square(bent - y), axis=-1)
        return ops.sum(rows) * 0.5, ops.sum(bent * y, axis=0), ops.sum(bent, axis=0, keepdims=True)

    run = compiled(call, X, Y, W, target=target)
    large = [node for node in run.ir if node.body is not None and sum(one.op == "tanh" for one in node.body)]
    assert len(large) == 1 and len(kernels(run)) == 2, run.ir


def test_the_gradient_of_a_layer_of_scales_reads_each_array_once() -> None:
    x = kg.Input((19,))
    scaled = kg.layers.EinsumDense("ab,b->ab", output_shape=(19,), bias_axes="b")(x)
    model = kg.Model(x, ops.sigmoid(ops.tanh(scaled)) * scaled)
    f = kg.compile(model, loss="mse")
    value, grads = f.value_and_grad(X, Y)
    step = 1e-2
    for weight, grad in zip(model.trainable_weights, grads, strict=True):
        before = weight.numpy()
        losses = []
        for sign in (1, -1):
            moved = before.copy()
            moved[3] += sign * step
            weight.assign(moved)
            losses.append(f.value_and_grad(X, Y)[0])
        weight.assign(before)
        np.testing.assert_allclose(grad[3], (losses[0] - losses[1]) / (2 * step), rtol=2e-2, atol=1e-4)
    np.testing.assert_allclose(value, np.mean((model.predict(X, verbose=0) - Y) ** 2), rtol=1e-5)


@pytest.mark.parametrize(
    "call",
    [
        lambda x, y, w: (ops.sum(ops.sum(x - y, 1)), ops.sum(x * y, 0)),  # nothing that takes long is shared
        lambda x, y, w: (ops.sum(ops.sum(ops.exp(x), 1)), ops.sum(ops.exp(y), 0)),
        lambda x, y, w: (ops.sum(ops.sum(ops.exp(ops.softmax(x)), 1)), ops.sum(ops.exp(ops.softmax(x)) * y, 0)),
        lambda x, y, w: (ops.sum(ops.square(ops.sum(ops.exp(x), 1))), ops.sum(ops.exp(x) * y, 0)),
    ],
)
def test_other_sums_keep_their_order(call: Callable[..., Any]) -> None:
    run = compiled(call, X, Y, W)
    assert str(run.stages["totals"]) == str(run.stages["tidy"])


def test_a_sum_of_columns_that_needs_the_total_comes_after_it() -> None:
    def call(x: Any, y: Any, w: Any) -> Any:
        bent = ops.tanh(x)
        whole = ops.sum(ops.sum(bent * y, 1))
        return whole, ops.sum(bent * whole, 0)

    compiled(call, X, Y, W)
