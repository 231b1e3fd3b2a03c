"""Masks that arrays carry from layer to layer, where no model is traced."""

from __future__ import annotations

import copy
import pickle
from typing import Any

import keras
import numpy as np
import pytest

import kgraph as kg
from kgraph import layers, ops

pytestmark = [
    pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning"),
    pytest.mark.filterwarnings("ignore:.*oes not support masking"),
]
IDS = np.array([[1, 2, 3, 0], [4, 0, 0, 0], [1, 1, 1, 1]])
rng = np.random.default_rng(5)
TABLE = rng.normal(size=(6, 3)).astype(np.float32)
MASK = IDS != 0


def embedded(k: Any) -> Any:
    """Vectors of the indices, with their mask."""
    layer = k.layers.Embedding(6, 3, mask_zero=True)
    layer(IDS)
    layer.set_weights([TABLE])
    return layer(IDS)


def filled(layer: Any, given: Any) -> Any:
    """What a layer returns when its weights are numbers that depend on nothing but their shapes."""
    layer(given)
    layer.set_weights([np.cos(np.arange(one.size)).reshape(one.shape) for one in layer.get_weights()])
    return layer(given)


LAYERS = {
    "pooling": lambda k: k.layers.GlobalAveragePooling1D(),
    "lstm": lambda k: k.layers.LSTM(2),
    "both ways": lambda k: k.layers.Bidirectional(k.layers.GRU(2, return_sequences=True)),
    "model": lambda k: k.Sequential([k.layers.Dropout(0.0), k.layers.LSTM(2)]),
}


@pytest.mark.parametrize("name", LAYERS)
def test_the_next_layer_sees_the_mask_as_in_keras(name: str) -> None:
    ours, theirs = (filled(LAYERS[name](k), embedded(k)) for k in (kg, keras))
    np.testing.assert_allclose(ours, theirs, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("layer", [layers.MultiHeadAttention(2, 3), layers.Attention()], ids=["heads", "attention"])
def test_eager_attention_is_that_of_a_model(layer: Any) -> None:
    def call(x: Any) -> Any:
        return layer(x, x) if isinstance(layer, layers.MultiHeadAttention) else layer([x, x])

    symbol = kg.Input((4,), dtype="int32")
    table = layers.Embedding(6, 3, mask_zero=True, weights=[TABLE])
    model = kg.Model(symbol, call(table(symbol)))
    np.testing.assert_allclose(call(embedded(kg)), model.predict(IDS, verbose=0), rtol=1e-5, atol=1e-6)


def test_masks_are_handed_on_and_the_second_call_has_them_too() -> None:
    x = embedded(kg)
    drop, merge = layers.Dropout(0.5), layers.Concatenate()
    for _ in range(3):
        y = merge([drop(x), x])
        np.testing.assert_array_equal(y._keras_mask, MASK)
        np.testing.assert_array_equal(layers.Masking()(np.ones((2, 3, 4)))._keras_mask, np.ones((2, 3), bool))


def test_losses_leave_masked_steps_out() -> None:
    x, y = embedded(kg), rng.normal(size=(3, 4, 3)).astype(np.float32)
    wanted = np.square(x - y).mean(-1)[MASK].mean()
    np.testing.assert_allclose(kg.losses.MeanSquaredError()(y, x), wanted, rtol=1e-5)


def test_what_numpy_computes_carries_no_mask() -> None:
    x = embedded(kg)
    for plain in (x + 1, np.tanh(x), np.asarray(x), pickle.loads(pickle.dumps(x))):
        assert type(plain) is np.ndarray
    assert getattr(x[0], "_keras_mask", None) is None and getattr(copy.copy(x), "_keras_mask", None) is None
    assert repr(x).startswith("array(")


def test_a_tape_sees_through_masks() -> None:
    table, lstm = layers.Embedding(6, 3, mask_zero=True), layers.LSTM(2)
    model = kg.Sequential([kg.Input((4,), dtype="int32"), table, lstm])
    found = []
    for call in (lambda: lstm(table(IDS)), lambda: model(IDS)):
        with kg.GradientTape() as tape:
            loss = ops.sum(call())
        found.append(tape.gradient(loss, model.trainable_weights))
    for one, other in zip(*found, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-5, atol=1e-7)
