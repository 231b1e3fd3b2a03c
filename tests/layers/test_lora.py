"""Low-rank adaptation: what is frozen, what is trained, and that adapting begins where the layer was."""

from __future__ import annotations

import numpy as np
import pytest

import kgraph as kg
from kgraph.errors import ArgumentError, GraphError

rng = np.random.default_rng(0)


def test_an_adapted_layer_begins_as_it_was_and_trains_its_factors_alone() -> None:
    x = kg.Input((6,))
    layer = kg.layers.Dense(5, name="dense")
    model = kg.Model(x, layer(x))
    data = rng.normal(size=(8, 6)).astype("float32")
    before = kg.compile(model)(data)
    layer.enable_lora(2, lora_alpha=4)
    np.testing.assert_array_equal(kg.compile(model)(data), before)
    assert [weight.name for weight in layer.trainable_weights] == ["bias", "lora_kernel_a", "lora_kernel_b"]
    train = kg.compile(model, loss="mse", training=True)
    kernel = layer.kernel.numpy()
    target = rng.normal(size=(8, 5)).astype("float32")
    first, _ = train.value_and_grad(data, target)
    for _ in range(50):
        loss, gradients = train.value_and_grad(data, target)
        for weight, gradient in zip(model.trainable_variables, gradients, strict=True):
            weight.assign_sub(0.05 * gradient)
    assert loss < first
    np.testing.assert_array_equal(layer.kernel.numpy(), kernel)
    a, b = layer.lora_kernel_a.numpy(), layer.lora_kernel_b.numpy()
    wanted = data @ (kernel + 2 * a @ b) + layer.bias.numpy()
    np.testing.assert_allclose(kg.compile(model)(data), wanted, rtol=1e-4, atol=1e-5)


def test_while_training_no_sum_of_the_size_of_the_kernel_is_made() -> None:
    x = kg.Input((64,))
    model = kg.Model(x, kg.layers.Dense(64, lora_rank=2)(x))
    training, inference = (kg.compile(model, training=flag, lower_only=True).ir for flag in (True, False))
    shapes = [node.tensor.shape for node in training if node.op not in ("param", "input")]
    assert (64, 64) not in shapes
    assert str(training).count("einsum(") == 3
    assert str(inference).count("einsum(") == 2  # one of them ahead of the calls, the sum of kernel and factors


def test_what_cannot_be_adapted_is_refused() -> None:
    layer = kg.layers.Dense(3)
    with pytest.raises(GraphError, match="before it is built"):
        layer.enable_lora(2)
    layer.build((None, 4))
    layer.enable_lora(2)
    with pytest.raises(GraphError, match="adapted already"):
        layer.enable_lora(2)
    limited = kg.layers.Dense(3, kernel_constraint="non_neg")
    limited.build((None, 4))
    with pytest.raises(ArgumentError, match="constrains its kernel"):
        limited.enable_lora(2)
    with pytest.raises(ArgumentError, match="lora_rank is a whole number"):
        kg.layers.Dense(3, lora_rank=0.5)
