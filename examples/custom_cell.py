"""A recurrent cell of one's own: an RNN runs it step by step in compiled code, with gradients through time.

python examples/custom_cell.py
"""

from __future__ import annotations

from typing import Any

import numpy as np

import kgraph as kg
from kgraph import ops


class LeakyCell(kg.layers.Layer):
    """h = (1 - a) h + a tanh(x @ kernel + h @ recurrent_kernel), with a learned leak a for each unit."""

    def __init__(self, units: int, **options: Any) -> None:
        super().__init__(**options)
        self.units = self.state_size = units

    def build(self, input_shape: Any) -> None:
        self.kernel = self.add_weight(shape=(input_shape[-1], self.units), name="kernel")
        self.recurrent_kernel = self.add_weight(
            shape=(self.units, self.units), initializer="orthogonal", name="recurrent_kernel"
        )
        self.leak = self.add_weight(shape=(self.units,), initializer="zeros", name="leak")

    def call(self, inputs: Any, states: Any) -> Any:
        (before,) = states
        a = ops.sigmoid(self.leak)
        new = ops.tanh(ops.matmul(inputs, self.kernel) + ops.matmul(before, self.recurrent_kernel))
        h = (1 - a) * before + a * new
        return h, [h]


def main() -> None:
    """Teach it to tell the sum of a sequence."""
    random = np.random.default_rng(0)
    x = kg.Input((20, 2), name="steps")
    h = kg.layers.RNN(LeakyCell(16, name="cell"), name="rnn")(x)
    model = kg.Model(x, kg.layers.Dense(1, name="sum")(h))
    train = kg.compile(model, loss="mse")

    first = None
    for step in range(200):
        data = random.uniform(-0.3, 0.3, size=(64, 20, 2)).astype("float32")
        loss, gradients = train.value_and_grad(data, data.sum(axis=(1, 2))[:, None])
        first = loss if first is None else first
        for weight, gradient in zip(model.trainable_variables, gradients, strict=True):
            weight.assign_sub(0.03 * np.clip(gradient, -1, 1))
        if step % 50 == 0:
            print(f"step {step}: loss {loss:.3f}")
    print(f"after training: loss {loss:.3f}")
    assert loss < first / 3

    loop = kg.compile(model).ir["rnn/loop"]
    print("\nWhat each step does; the product of all inputs and the kernel is one, before the loop:")
    print(loop.body)


if __name__ == "__main__":
    main()
