"""The layer that every guide begins with, and how a model in kgraph and in Keras are held together, trained and not."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import keras
import numpy as np

import kgraph as kg

RNG = np.random.default_rng(0)
X = RNG.normal(size=(8, 5)).astype("float32")
Y = RNG.normal(size=(8, 1)).astype("float32")


def same(make: Callable[[Any], Any], x: Any = X, y: Any = Y, trained: bool = True) -> Any:
    """Make a model in both, and hold together what it computes at once, compiled, and what training makes of it."""
    ours, theirs = make(kg), make(keras)
    ours(x), theirs(x)
    ours.set_weights(theirs.get_weights())
    tolerance = {"rtol": 2e-4, "atol": 2e-5}
    wanted = keras.tree.map_structure(np.asarray, theirs(x))
    np.testing.assert_allclose(ours(x), wanted, **tolerance)
    np.testing.assert_allclose(ours.predict(x, verbose=0), wanted, **tolerance)
    ours.set_weights(theirs.get_weights())
    assert [one.shape for one in ours.trainable_variables] == [one.shape for one in theirs.trainable_variables]
    if trained:
        for model, k in ((ours, kg), (theirs, keras)):
            model.compile(k.optimizers.SGD(0.1), "mse")
        for _ in range(2):
            np.testing.assert_allclose(ours.train_on_batch(x, y), float(theirs.train_on_batch(x, y)), **tolerance)
    for own, his in zip(ours.get_weights(), theirs.get_weights(), strict=True):
        np.testing.assert_allclose(own, his, **tolerance)
    return ours


def linear(k: Any) -> type:
    """The layer that every guide begins with."""

    class Linear(k.layers.Layer):
        def __init__(self, units: int = 4, rate: float = 0.0, **options: Any) -> None:
            super().__init__(**options)
            self.units, self.rate = units, rate

        def build(self, input_shape: Any) -> None:
            self.w = self.add_weight(
                shape=(input_shape[-1], self.units), initializer="random_normal", trainable=True, name="w"
            )
            self.b = self.add_weight(shape=(self.units,), initializer="zeros", trainable=True, name="b")

        def call(self, inputs: Any) -> Any:
            if self.rate:
                self.add_loss(self.rate * k.ops.mean(k.ops.square(inputs)))
            return k.ops.matmul(inputs, self.w) + self.b

        def compute_output_shape(self, input_shape: Any) -> Any:
            return (*input_shape[:-1], self.units)

        def get_config(self) -> Any:
            return {**super().get_config(), "units": self.units, "rate": self.rate}

    return Linear
