"""Masks through layers that users write, into those that take one, losses and metrics."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
import pytest
from custom_layers import X, same

import kgraph as kg
from kgraph.errors import ArgumentError

pytestmark = [
    pytest.mark.usefixtures("fresh_names"),
    pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning"),
]
RNG = np.random.default_rng(0)


def masked(k: Any) -> Any:
    """Layers that pass masks on, change them, take them, or lose them."""

    class Keep(k.layers.Layer):
        def __init__(self, **options: Any) -> None:
            super().__init__(**options)
            self.supports_masking = True

        def call(self, x: Any) -> Any:
            return x * 2.0

    class EverySecond(k.layers.Layer):
        def call(self, x: Any) -> Any:
            return x[:, ::2]

        def compute_mask(self, x: Any, mask: Any = None) -> Any:
            return None if mask is None else mask[:, ::2]

    class Average(k.layers.Layer):
        def compute_mask(self, x: Any, mask: Any = None) -> Any:
            return None

        def call(self, x: Any, mask: Any = None) -> Any:
            if mask is None:
                return k.ops.mean(x, axis=1)
            seen = k.ops.expand_dims(k.ops.cast(mask, x.dtype), -1)
            return k.ops.sum(x * seen, axis=1) / (k.ops.sum(seen, axis=1) + 1e-6)

    class Lose(k.layers.Layer):
        def call(self, x: Any) -> Any:
            return x + 1.0

    return Keep, EverySecond, Average, Lose


WORDS = RNG.integers(0, 6, (8, 7)).astype("int32")


def test_masks_through_layers_into_a_recurrent_one() -> None:
    def make(k: Any) -> Any:
        Keep, EverySecond, Average, _ = masked(k)
        x = k.Input((7,), dtype="int32")
        words = Keep()(k.layers.Embedding(6, 4, mask_zero=True)(x))
        parts = [Average()(words), k.layers.SimpleRNN(3)(EverySecond()(words))]
        return k.Model(x, k.layers.Dense(1)(k.layers.Concatenate()(parts)))

    same(make, x=WORDS, trained=False)


def test_masks_reach_losses_and_metrics() -> None:
    def make(k: Any) -> Any:
        Keep, *_ = masked(k)
        x = k.Input((7,), dtype="int32")
        return k.Model(x, k.layers.Dense(2)(Keep()(k.layers.Embedding(6, 4, mask_zero=True)(x))))

    y = RNG.normal(size=(8, 7, 2)).astype("float32")
    ours, theirs = make(kg), make(keras)
    ours.set_weights(theirs.get_weights())
    found = []
    for model, k in ((ours, kg), (theirs, keras)):
        model.compile("sgd", "mse", metrics=["mae"], weighted_metrics=[k.metrics.MeanSquaredError(name="weighed")])
        found.append(model.evaluate(WORDS, y, verbose=0, return_dict=True))
    for key, value in found[1].items():
        assert found[0][key] == pytest.approx(value, rel=1e-4), key
    plain = np.mean((y - ours.predict(WORDS, verbose=0)) ** 2)
    assert abs(found[0]["loss"] - plain) > 1e-3


def test_a_layer_that_cannot_take_a_mask_says_so() -> None:
    *_, Lose = masked(kg)
    x = kg.layers.Masking()(kg.Input((7, 4)))
    with pytest.warns(UserWarning, match="'lose' .*does not support masking"):
        y = Lose()(x)
    assert y.mask is None
    assert kg.layers.Dense(2)(x).mask is not None


def test_functions_as_layers_and_masks() -> None:
    x = kg.layers.Masking()(kg.Input((7, 4)))
    half = kg.layers.Lambda(lambda x: x[:, :3], mask=lambda x, mask: mask[:, :3])(x)
    assert half.mask.shape == (None, 3)
    steps = kg.Input((7, 4))
    given = RNG.normal(size=(2, 7, 4)).astype("float32") * (RNG.random((2, 7, 1)) > 0.4)
    layer = kg.layers.Lambda(lambda x, mask: kg.ops.where(mask[..., None], x, -1.0), mask=lambda x, mask: mask)
    model = kg.Model(steps, layer(kg.layers.Masking()(steps)))
    wanted = np.where(given.any(-1, keepdims=True), given, -1).astype("float32")
    np.testing.assert_allclose(model.predict(given, verbose=0), wanted)
    for wrong in (None, 3, "no such function"):
        with pytest.raises((ArgumentError, TypeError), match="Lambda wants a function"):
            kg.layers.Lambda(wrong)


def test_masks_given_by_hand_and_calls_of_any_arguments() -> None:
    class Kept(kg.layers.Layer):
        def call(self, x: Any, mask: Any = None) -> Any:
            return x if mask is None else x * kg.ops.cast(mask[..., None], x.dtype)

    class Anything(kg.layers.Layer):
        def build(self, *_: Any, **__: Any) -> None:
            self.w = self.add_weight(shape=(5, 2), initializer="ones")

        def call(self, *args: Any, **kwargs: Any) -> Any:
            return args[0] @ self.w

    steps, mask = np.ones((1, 3, 2), "float32"), np.array([[True, False, True]])
    np.testing.assert_array_equal(Kept()(steps, mask=mask)[0, :, 0], [1, 0, 1])
    layer = Anything()
    assert layer(X).shape == (8, 2)
    assert (layer.dtype, layer.variable_dtype, layer.compute_dtype, layer.input_dtype) == ("float32",) * 4
