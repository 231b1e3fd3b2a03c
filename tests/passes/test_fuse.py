"""Which values share a kernel, are computed again, or are stored by the kernel of another."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import kgraph as kg
from kgraph import layers, ops
from kgraph.graph.evaluate import evaluate
from kgraph.graph.ir import Graph

rng = np.random.default_rng(5)


@pytest.fixture(autouse=True)
def emulated(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KGRAPH_CUDA", "emulate")


def fused(function: Any, *shapes: Any) -> Graph:
    return kg.compile(function, inputs=[kg.Input(batch_shape=shape) for shape in shapes], lower_only=True).ir


def kernels(graph: Graph) -> list[str]:
    return [node.name for node in graph if node.op not in ("input", "param", "const", "item", "reshape")]


def floats(*shape: int) -> np.ndarray:
    return rng.standard_normal(shape).astype(np.float32)


def agrees(function: Any, *arrays: np.ndarray, count: int) -> None:
    """The results are those of the traced graph, and so many kernels compute them."""
    for target in ("cpu", "cuda"):
        inputs = [kg.Input(batch_shape=array.shape) for array in arrays]
        compiled = kg.compile(function, inputs=inputs, target=target)
        wanted, _ = evaluate(compiled.stages["trace"], arrays)
        found = compiled(*arrays)
        for one, other in zip(found if isinstance(found, list) else [found], wanted, strict=True):
            np.testing.assert_allclose(one, other, rtol=2e-5, atol=2e-5)
        assert len(kernels(compiled.ir)) == count, compiled.ir


# computed again ------------------------------------------------------------------------------------------------------


def test_a_cheap_value_goes_into_every_kernel_that_reads_it():
    def two_sums(x):
        shifted = (x - 1.0) * 2.0
        return ops.sum(shifted, 0), ops.sum(shifted, 1)

    assert kernels(fused(two_sums, (5, 7))) == ["sum", "sum#1"]


def test_a_costly_value_is_stored_by_one_of_the_kernels_that_read_it():
    def two_sums(x):
        waves = ops.exp(x)
        return ops.sum(waves, 0), ops.sum(waves, 1)

    assert kernels(fused(two_sums, (5, 7))) == ["sum, exp", "sum#1"]


def test_a_value_that_needs_more_reading_than_it_saves_is_stored():
    def three_sums(a, b, c, d):
        total = a + b + c + d
        return ops.sum(total, 0), ops.sum(total, 1), ops.sum(total, (0, 1))

    assert [name.count(",") for name in kernels(fused(three_sums, *[(5, 7)] * 4))] == [1, 0, 0]


@pytest.mark.parametrize(("strides", "count"), [(2, 1), (1, 2)])
def test_windows_take_in_what_they_want_once(strides, count):
    """Side by side, they want each element of a convolution once; overlapping ones would have it computed again."""
    kernel = floats(3, 3, 1, 8)

    def pooled(x):
        return ops.max_pool(ops.relu(ops.conv(x, kernel)), 2, strides=strides)

    agrees(pooled, floats(2, 8, 8, 1), count=count)


def test_the_operand_of_a_contraction_is_in_memory_anyway():
    def reused(x, w):
        shifted = x + 1.0
        return ops.matmul(shifted, w), ops.sum(shifted, 0)

    assert kernels(fused(reused, (4, 5), (5, 3))) == ["sum, add", "einsum"]


def test_one_value_is_stored_in_place_of_several_that_follow_from_it():
    model = kg.Sequential([kg.Input((3,)), layers.Dense(4, activation="gelu", name="first"), layers.Dense(4)])
    product, activation = kernels(kg.compile(model, loss="mse", lower_only=True).ir)[:2]
    assert product == "first/add"  # from which 0.5 * x, 0.7 * x and their gradients follow
    assert activation.count(",") == 1  # with the error function, which the gradient needs


# several results -----------------------------------------------------------------------------------------------------


def test_sums_of_the_same_rows_are_made_in_one_pass_over_the_data():
    agrees(lambda x, g: (ops.sum(g, 0), ops.sum(g * x, 0)), floats(6, 5), floats(6, 5), count=1)
    agrees(lambda x, g: (ops.sum(g, -1), ops.max(g * x, -1)), floats(6, 5), floats(6, 5), count=1)


def test_a_value_and_the_sums_of_its_columns_are_made_in_one_pass():
    agrees(
        lambda x, w: (ops.sum(ops.tanh(x), 0), ops.tanh(x), ops.matmul(ops.tanh(x), w)),
        floats(6, 5),
        floats(5, 3),
        count=2,
    )


def test_a_product_has_one_result_but_may_have_others_of_its_rows():
    agrees(lambda x, w: (ops.sigmoid(ops.matmul(x, w)), ops.matmul(x, w)), floats(7, 5), floats(5, 40), count=2)

    def rows(x, w):
        z = ops.matmul(x, w)
        largest = ops.max(z, -1, keepdims=True)
        return ops.exp(z - largest), largest

    agrees(rows, floats(7, 5), floats(5, 40), count=1)


def test_a_kernel_does_not_wait_for_one_that_needs_it():
    def crossed(x):
        large = ops.exp(x)
        total = ops.cumsum(large, 0)
        return large * ops.flip(total, 1), ops.sum(large * total, 1)

    agrees(crossed, floats(6, 5), count=4)


def test_costly_elements_wait_in_results_without_being_overwritten():
    def function(x, y):
        p = ops.softmax(x)
        top = ops.exp(x - ops.max(x, -1, keepdims=True))
        return ops.sum(p * y, -1, keepdims=True), p * ops.tanh(y), top, p

    agrees(function, floats(6, 5), floats(6, 5), count=2)
    agrees(lambda x, y: function(x, y)[1:3], floats(6, 5), floats(6, 5), count=1)


def test_normalisation_keeps_what_its_gradient_needs_of_each_row():
    model = kg.Sequential([kg.Input((24,)), layers.LayerNormalization(), layers.Dense(24), layers.LayerNormalization()])
    compiled = kg.compile(model, loss="mse")
    counts = [len(node.type) for node in compiled.ir if isinstance(node.type, tuple)]
    assert max(counts) >= 2
    x, y = floats(9, 24), floats(9, 24)
    value, gradients = compiled.value_and_grad(x, y)
    wanted, _ = evaluate(compiled.stages["gradients"], [x, y])
    for one, other in zip([value, *gradients], wanted, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("keepdims", [False, True])
def test_rows_may_be_results_with_and_without_the_reduced_axis(keepdims):
    agrees(lambda x: (ops.sum(x, -1, keepdims=keepdims), ops.max(x, -1, keepdims=True)), floats(6, 5), count=1)


def test_the_text_of_a_graph_shows_each_result_of_a_kernel():
    text = str(fused(lambda x, g: (ops.sum(g, 0), ops.sum(g * x, 0)), (4, 3), (4, 3)))
    assert "sum, sum#1 = sum(" in " ".join(text.split())
    assert "item" not in text


def test_kernels_are_one_only_if_no_kernel_between_needs_the_one_for_the_other():
    """The second sum needs `scale`, which the kernel of the last stores, and that one needs the first."""

    def function(x, y, a, b):
        products = ops.matmul(a, b)
        scale = ops.exp(y)
        scaled = ops.sin(x) * scale
        second = ops.sum(x * scale, -1, keepdims=True)
        first = ops.sum(ops.cos(x), -1, keepdims=True)
        return ops.sum(scaled * ops.flip(first, 0) + products, -1, keepdims=True), second

    agrees(function, floats(6, 8), floats(6, 1), floats(6, 4), floats(4, 8), count=4)
