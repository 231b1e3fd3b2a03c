"""Layers whose results are random, or whose state a call changes, and those Keras cannot compute here."""

from typing import Any

import keras
import numpy as np
import pytest

import kgraph as kg

pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")

NOISES = [
    kg.layers.AlphaDropout(0.3, seed=3),
    kg.layers.GaussianDropout(0.3, seed=3),
    kg.layers.GaussianNoise(0.5, seed=3),
]


@pytest.mark.parametrize("layer", NOISES, ids=lambda layer: type(layer).__name__)
def test_noise_keeps_the_mean_and_is_that_of_its_seed(layer: Any) -> None:
    x = np.random.default_rng(0).normal(size=(200, 200)).astype("float32")
    twin = type(layer).from_config(layer.get_config())
    first, second = layer(x, training=True), layer(x, training=True)
    assert (first != second).any()
    assert abs(first.mean() - x.mean()) < 0.02
    np.testing.assert_array_equal(twin(x, training=True), first)
    np.testing.assert_array_equal(layer(x), x)


def test_noise_has_the_spread_asked_for() -> None:
    zeros, ones = np.zeros((300, 300), "float32"), np.ones((300, 300), "float32")
    assert abs(kg.layers.GaussianNoise(0.5, seed=1)(zeros, training=True).std() - 0.5) < 0.01
    assert abs(kg.layers.GaussianDropout(0.2, seed=1)(ones, training=True).std() - 0.5) < 0.01
    x = np.random.default_rng(0).normal(size=(300, 300)).astype("float32")
    assert abs(kg.layers.AlphaDropout(0.4, seed=1)(x, training=True).std() - 1) < 0.02


@pytest.mark.parametrize("data_format", ["channels_last", "channels_first"])
def test_spatial_dropout_drops_whole_channels(data_format: str) -> None:
    y = kg.layers.SpatialDropout2D(0.5, data_format, seed=2)(np.ones((8, 6, 6, 6), "float32"), training=True)
    channels = y if data_format == "channels_last" else y.transpose(0, 2, 3, 1)
    assert (channels == channels[:, :1, :1]).all()
    assert set(np.unique(y)) == {0, 2}


@pytest.mark.parametrize("zeros", [False, True])
def test_spectral_normalization_changes_kernel_and_vector_as_in_keras(zeros: bool) -> None:
    ours = kg.layers.SpectralNormalization(kg.layers.Dense(4), power_iterations=2)
    theirs = keras.layers.SpectralNormalization(keras.layers.Dense(4), power_iterations=2)
    x = np.random.default_rng(0).normal(size=(3, 5)).astype("float32")
    ours(x), theirs(x)
    assert [one.name for one in ours.weights] == [one.name for one in theirs.weights]
    if zeros:
        theirs.layer.kernel.assign(np.zeros((5, 4)))
    ours.set_weights(theirs.get_weights())
    for training in (True, True, False):
        np.testing.assert_allclose(ours(x, training=training), theirs(x, training=training), rtol=1e-5, atol=1e-6)
        for own, his in zip(ours.get_weights(), theirs.get_weights(), strict=True):
            np.testing.assert_allclose(own, his, rtol=1e-5, atol=1e-6)
    twin = kg.layers.SpectralNormalization.from_config(ours.get_config())
    assert twin.get_config() == ours.get_config()


def test_integer_lookup_finds_what_the_vocabulary_has() -> None:
    x = np.array([[3, 7, 9], [1000, -5, 7]])
    layer = kg.layers.IntegerLookup(vocabulary=[7, 3, 1000])
    np.testing.assert_array_equal(layer(x), [[2, 1, 0], [3, 0, 1]])
    several = kg.layers.IntegerLookup(vocabulary=[7, 3, 1000], num_oov_indices=2, mask_token=9)
    np.testing.assert_array_equal(several(x), [[4, 3, 0], [5, 2, 3]])
    back = kg.layers.IntegerLookup(vocabulary=[7, 3, 1000], invert=True)
    np.testing.assert_array_equal(back(layer(x)), [[3, 7, -1], [1000, -1, 7]])
    hot = kg.layers.IntegerLookup(vocabulary=[7, 3, 1000], output_mode="multi_hot")
    np.testing.assert_array_equal(hot(x), [[1, 1, 1, 0], [1, 1, 0, 1]])
    with pytest.raises(IndexError):
        kg.layers.IntegerLookup(vocabulary=[7, 3], num_oov_indices=0)(x)
    learned = kg.layers.IntegerLookup()
    learned.adapt(np.array([[5, 5, 4], [4, 5, 1]]))
    assert learned.get_vocabulary() == [-1, 5, 4, 1]
    assert kg.layers.IntegerLookup.from_config(learned.get_config()).get_vocabulary() == [-1, 5, 4, 1]


def test_adapting_takes_as_many_batches_as_it_is_told() -> None:
    for layer in (kg.layers.IntegerLookup(), kg.layers.Discretization(num_bins=2)):
        given = iter([np.array([5, 5, 4]), np.array([6, 4, 5]), np.array([7]), np.array([8])])
        layer.adapt(given, steps=2)
        assert [batch.tolist() for batch in given] == [[7], [8]]
        layer.adapt([np.array([1, 2]), np.array([3])])
        assert np.asarray(layer(np.array([1, 2, 3]))).min() >= 0


def test_normalization_adapts_as_in_keras() -> None:
    ours, theirs = kg.layers.Normalization(), keras.layers.Normalization()
    x = np.random.default_rng(0).normal(3, 2, size=(20, 4)).astype("float32")
    ours.adapt(x), theirs.adapt(x)
    np.testing.assert_allclose(ours(x), theirs(x), rtol=1e-4, atol=1e-5)
    parts = kg.layers.Normalization()
    parts.adapt([x[:7], x[7:]])
    np.testing.assert_allclose(parts(x), theirs(x), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("dropout", [0.0, 0.5])
def test_heads_and_attention_see_masks_as_in_keras(dropout: float) -> None:
    def build(k: Any) -> Any:
        tokens, seen = k.Input((4,), dtype="int32"), k.Input((4, 4), dtype="bool")
        table = k.layers.Embedding(5, 6, mask_zero=True)
        x = table(tokens)
        y = k.layers.MultiHeadAttention(2, 3, dropout=dropout)(x, x, attention_mask=seen, use_causal_mask=True)
        return k.Model(
            [tokens, seen], k.layers.Attention(dropout=dropout)([y, table(tokens)])
        )  # Keras takes x's mask off

    ours, theirs = build(kg), build(keras)
    ours.set_weights(theirs.get_weights())
    tokens = np.array([[1, 2, 0, 0], [3, 0, 4, 1]], "int32")
    seen = np.random.default_rng(0).random((2, 4, 4)) < 0.8
    np.testing.assert_allclose(ours([tokens, seen]), theirs([tokens, seen]), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("name", ["MultiHeadAttention", "GroupQueryAttention"])
def test_attention_scores_are_those_of_keras(name: str) -> None:
    options = (2, 3) if name == "MultiHeadAttention" else (3, 4, 2)
    ours, theirs = getattr(kg.layers, name)(*options), getattr(keras.layers, name)(*options)
    x = np.random.default_rng(0).normal(size=(2, 4, 5)).astype("float32")
    ours(x, x), theirs(x, x)
    ours.set_weights(theirs.get_weights())
    options = {"return_attention_scores": True, "use_causal_mask": True}
    for own, his in zip(ours(x, x, **options), theirs(x, x, **options), strict=True):
        np.testing.assert_allclose(own, his, rtol=1e-4, atol=1e-5)
