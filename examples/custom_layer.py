"""A layer of one's own: weights, state that calls update, a penalty, and other behaviour while training.

python examples/custom_layer.py
"""

from __future__ import annotations

from typing import Any

import numpy as np

import kgraph as kg
from kgraph import ops


class Standardise(kg.layers.Layer):
    """Subtracts a mean of what it has seen while training, and scales by weights that it keeps small."""

    def __init__(self, momentum: float = 0.9, **options: Any) -> None:
        super().__init__(**options)
        self.momentum = momentum

    def build(self, input_shape: Any) -> None:
        width = input_shape[-1]
        self.scale = self.add_weight(shape=(width,), initializer="ones", name="scale")
        self.mean = self.add_weight(shape=(width,), initializer="zeros", trainable=False, name="mean")

    def call(self, inputs: Any, training: bool = False) -> Any:
        if training:
            seen = ops.mean(inputs, axis=0)
            self.mean.assign(self.momentum * self.mean + (1 - self.momentum) * seen)
        self.add_loss(1e-3 * ops.sum(ops.square(self.scale)))
        return (inputs - self.mean) * self.scale


def main() -> None:
    """Run it, compiled, while training and not, and look at its gradients."""
    x = kg.Input((3,), name="x")
    layer = Standardise(name="standardise")
    model = kg.Model(x, kg.layers.Dense(1, name="line")(layer(x)))
    data = np.random.default_rng(0).normal(5.0, 1.0, size=(256, 3)).astype("float32")

    train = kg.compile(model, loss="mse", training=True)
    for step in range(60):
        target = data.sum(axis=1, keepdims=True)
        loss, gradients = train.value_and_grad(data, target)
        for weight, gradient in zip(model.trainable_variables, gradients, strict=True):
            weight.assign_sub(0.01 * gradient)
        if step % 20 == 0:
            print(f"step {step}: loss {loss:.3f}, mean {layer.mean.numpy().round(2)}")
    print(f"after training: loss {loss:.3f}, mean {layer.mean.numpy().round(2)}")
    assert np.allclose(layer.mean.numpy(), 5.0, atol=0.2)

    infer = kg.compile(model)
    before = layer.mean.numpy()
    infer(data)
    assert (layer.mean.numpy() == before).all(), "a call outside of training changes no state"
    print(infer.ir)


if __name__ == "__main__":
    main()
