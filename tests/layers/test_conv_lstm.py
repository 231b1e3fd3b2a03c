"""ConvLSTM beside Keras: outputs, states, weights, gradients, configurations."""

from __future__ import annotations

from typing import Any

import jax
import keras
import numpy as np
import pytest

import kgraph as kg
from kgraph import tree

# Keras's variables have no `copy` in __array__; numpy says so each time.
pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")

rng = np.random.default_rng(0)
CASES: dict[str, tuple[str, dict[str, Any], tuple[int, ...]]] = {
    "lines": ("ConvLSTM1D", {"filters": 4, "kernel_size": 3}, (2, 3, 7, 5)),
    "images": ("ConvLSTM2D", {"filters": 3, "kernel_size": 3, "padding": "same"}, (2, 3, 5, 4, 2)),
    "strides": ("ConvLSTM2D", {"filters": 3, "kernel_size": 2, "strides": 2, "return_state": True}, (2, 3, 5, 4, 2)),
    "all outputs": (
        "ConvLSTM2D",
        {"filters": 3, "kernel_size": 2, "return_sequences": True, "go_backwards": True, "use_bias": False},
        (2, 3, 5, 4, 2),
    ),
    "channels first": (
        "ConvLSTM2D", {"filters": 3, "kernel_size": 2, "data_format": "channels_first"}, (2, 3, 2, 5, 4),
    ),
    "volumes": ("ConvLSTM3D", {"filters": 2, "kernel_size": 2, "unit_forget_bias": False}, (2, 2, 3, 3, 4, 2)),
}  # fmt: skip


def models(name: str) -> tuple[Any, Any, Any, Any, np.ndarray]:
    """Our layer and model, Keras's, with the same weights; and inputs."""
    kind, options, shape = CASES[name]
    made = []
    for library in (kg, keras):
        x = library.Input(batch_shape=(None, *shape[1:]))
        layer = getattr(library.layers, kind)(**options)
        made += [layer, library.Model(x, layer(x))]
    values = [rng.normal(scale=0.4, size=weight.shape).astype("float32") for weight in made[3].weights]
    assert [(one.name, one.shape) for one in made[1].weights] == [(one.name, one.shape) for one in made[3].weights]
    made[1].set_weights(values), made[3].set_weights(values)
    return (*made, rng.normal(size=shape).astype("float32"))  # type: ignore[return-value]


@pytest.mark.parametrize("name", CASES)
def test_outputs_gradients_and_configurations_are_those_of_keras(name: str) -> None:
    layer, ours, other, theirs, x = models(name)
    compiled = kg.compile(ours)
    frozen = [v.value for v in theirs.non_trainable_variables]

    def call(weights: Any, data: Any) -> Any:
        return keras.tree.flatten(theirs.stateless_call(weights, frozen, data)[0])

    want, back = jax.vjp(call, [v.value for v in theirs.trainable_variables], x)
    for have, one in zip(tree.flatten(compiled(x)), want, strict=True):
        np.testing.assert_allclose(have, one, rtol=1e-4, atol=1e-5)
    outputs, pullback = compiled.vjp(x)
    cotangents = [rng.normal(size=one.shape).astype("float32") for one in tree.flatten(outputs)]
    dx, weights = pullback(tree.pack_sequence_as(outputs, cotangents))
    wanted, d_x = back(cotangents)
    for have, one in zip([dx, *weights], [d_x, *wanted], strict=True):
        np.testing.assert_allclose(have, one, rtol=1e-3, atol=1e-4 * np.abs(one).max())
    config = layer.get_config()
    assert type(layer).from_config(config).get_config() == config
    assert set(config) <= set(other.get_config())


def test_the_convolution_of_the_inputs_is_one_before_the_loop() -> None:
    i = kg.Input((6, 5, 4, 8))
    ir = kg.compile(kg.Model(i, kg.layers.ConvLSTM2D(16, 3, padding="same")(i)), lower_only=True).ir
    (loop,) = (node for node in ir if node.op == "loop")
    assert str(ir).count("einsum(") == 2, "one before the loop, and one in each step"
    assert str(loop.body).count("einsum(") == 1
