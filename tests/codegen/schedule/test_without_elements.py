"""Arrays without elements, whatever the axes that have none, and whoever reads them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import kgraph as kg
from kgraph import ops

SHAPES = [(0,), (0, 2), (2, 0), (0, 0, 2), (2, 0, 0), (0, 0, 0), (3, 0, 2, 0)]
FUNCTIONS: dict[str, Callable[[Any], Any]] = {
    "elementwise": lambda x: ops.tanh(x) + 1,
    "sum": ops.sum,
    "softmax": lambda x: ops.softmax(x, axis=0),
    "flip": lambda x: 2 * ops.flip(x, axis=-1),
    "pad": lambda x: ops.pad(x, [[0, 0]] * (len(x.shape) - 1) + [[1, 1]]) * 2,
    "concatenate": lambda x: ops.concatenate([x, 2 * x], axis=1),
    "running sum": lambda x: ops.cumsum(x, axis=-1),
    "product": lambda x: ops.expand_dims(ops.einsum("a...,ab->b...", x, ops.ones((4, 3))), 0),
    "product of nothing": lambda x: ops.expand_dims(ops.matmul(ops.reshape(x, (4, 0)), ops.ones((0, 3))), 0),
}


@pytest.mark.parametrize("target", ["cpu", "cuda"])
@pytest.mark.parametrize("name", FUNCTIONS)
def test_compiled_code_makes_as_many_as_the_graph_says(name: str, target: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KGRAPH_CUDA", "emulate")
    for shape in SHAPES:
        x = np.ones((4, *shape), "float32")
        compiled = kg.compile(FUNCTIONS[name], inputs=[kg.Input(batch_shape=x.shape)], target=target)
        wanted = np.asarray(FUNCTIONS[name](x))
        np.testing.assert_array_equal(compiled(x), wanted)
        found, _ = compiled.vjp(x)[1](np.ones_like(wanted))
        assert found.shape == x.shape


@pytest.mark.parametrize("target", ["cpu", "cuda"])
def test_a_count_may_be_larger_than_int32_holds(target: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KGRAPH_CUDA", "emulate")
    half = kg.compile(
        lambda x: 0.5 * ops.cast(ops.shape(x)[0], "float32") * ops.ones((2,)), inputs=[kg.Input((0,))], target=target
    )
    np.testing.assert_array_equal(half(np.empty((2**31 + 512, 0), "float32")), [2**30 + 256] * 2)
