"""Every layer in several configurations, beside Keras: shapes, values, weights and their order, configuration."""

from typing import Any

import keras
import numpy as np
import pytest
from layer_families import Case, applied, arrays_of
from layer_table import TABLE, both, name_of

import kgraph as kg

# Keras's variables have no `copy` in __array__; numpy says so each time.
pytestmark = [
    pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning"),
    pytest.mark.filterwarnings("ignore:You passed `rms_scaling:UserWarning"),
]


def agrees(ours: Any, theirs: Any) -> bool:
    """Whether two shapes are the same, but for sizes that Keras leaves open and we know."""
    return len(ours) == len(theirs) and all(b in (a, None) for a, b in zip(ours, theirs, strict=True))


every_case = pytest.mark.parametrize("case", TABLE, ids=map(name_of, TABLE))


@every_case
@pytest.mark.parametrize("training", [False, True])
def test_values_are_those_of_keras(case: Case, training: bool) -> None:
    if training and (case.options.get("rate") or case.options.get("stddev")):
        pytest.skip("random; tested by its properties")
    ours, theirs, _ = both(case)
    x = arrays_of(case)
    y = applied(case, ours, x, training=training)
    want = np.asarray(applied(case, theirs, x, training=training))
    assert y.shape == want.shape
    assert y.dtype == want.dtype
    np.testing.assert_allclose(y, want, rtol=2e-5, atol=2e-5)
    for own, his in zip(ours.get_weights(), theirs.get_weights(), strict=True):  # moving statistics move alike
        np.testing.assert_allclose(own, his, rtol=2e-5, atol=2e-5)
    for own, his in zip(ours.losses, theirs.losses, strict=True):
        np.testing.assert_allclose(own, np.asarray(his), rtol=1e-5)


@every_case
def test_weights_have_names_shapes_and_order_of_keras(case: Case) -> None:
    ours, theirs, _ = both(case)
    for own, his in (
        (ours.weights, theirs.weights),
        (ours.trainable_weights, theirs.trainable_weights),
        (ours.non_trainable_weights, theirs.non_trainable_weights),
    ):
        assert [(weight.name, weight.shape) for weight in own] == [(weight.name, tuple(weight.shape)) for weight in his]
    assert ours.count_params() == theirs.count_params()


@every_case
def test_shapes_are_those_of_keras(case: Case) -> None:
    several = isinstance(case.shapes, list)
    shapes = [(None, *shape[1:]) for shape in (case.shapes if several else [case.shapes])]
    ours, theirs = getattr(kg.layers, case.layer)(**case.options), getattr(keras.layers, case.layer)(**case.options)
    dtype = "int32" if case.indices else "float32"
    own = [kg.Input(batch_shape=shape, dtype=dtype) for shape in shapes]
    his = [keras.Input(batch_shape=shape, dtype=dtype) for shape in shapes]
    y, want = applied(case, ours, own), applied(case, theirs, his)
    assert agrees(y.shape, want.shape)
    assert y.dtype == want.dtype
    assert ours.output_shape == y.shape
    given = shapes if case.apart else [shapes] if several else shapes
    assert agrees(ours.compute_output_shape(*given), theirs.compute_output_shape(*given))


@every_case
def test_the_configuration_makes_an_equal_layer(case: Case) -> None:
    ours, theirs, _ = both(case)
    x = arrays_of(case)
    config = ours.get_config()
    twin = getattr(kg.layers, case.layer).from_config(config)
    assert twin.get_config() == config
    applied(case, twin, x)
    twin.set_weights(ours.get_weights())
    np.testing.assert_array_equal(applied(case, twin, x), applied(case, ours, x))
    unknown = set(config) - set(theirs.get_config())
    assert not unknown, f"Keras's configuration has no {unknown}"


@every_case
def test_a_model_of_the_layer_gives_what_the_layer_gives(case: Case) -> None:
    ours, _, _ = both(case)
    arrays = arrays_of(case)
    inputs = [kg.Input(batch_shape=(None, *a.shape[1:]), dtype=a.dtype) for a in arrays]
    model = kg.Model(inputs, applied(case, ours, inputs))
    np.testing.assert_array_equal(model(arrays), applied(case, ours, arrays))


def test_the_table_has_every_layer() -> None:
    public = {name for name in kg.layers.__all__ if getattr(kg.layers, name).__name__ == name and name[0].isupper()}
    tested = {case.layer for case in TABLE}
    others = {"Input", "InputLayer", "InputSpec", "Layer", "Lambda", "Wrapper"}
    recurrent = {"RNN", "SimpleRNN", "GRU", "LSTM", "SimpleRNNCell", "GRUCell", "LSTMCell", "StackedRNNCells"}
    recurrent |= {"ConvLSTM1D", "ConvLSTM2D", "ConvLSTM3D"}
    others |= {*recurrent, "Bidirectional", "TimeDistributed"}  # in test_recurrent.py
    others |= {"IntegerLookup", "SpectralNormalization"}  # in test_noise_and_state.py
    assert public - tested - others == set()


def test_dropout_keeps_the_mean_and_moves_its_seed() -> None:
    layer = kg.layers.Dropout(0.25, seed=3)
    x = np.ones((200, 100), "float32")
    first, second = layer(x, training=True), layer(x, training=True)
    assert set(np.unique(first)) == {np.float32(0), np.float32(1 / 0.75)}
    assert abs(first.mean() - 1) < 0.02
    assert (first != second).any()
    again = kg.layers.Dropout(0.25, seed=3)(x, training=True)
    np.testing.assert_array_equal(again, first)


def test_dropout_shares_its_mask_along_axes_of_size_1() -> None:
    y = kg.layers.Dropout(0.5, noise_shape=(None, 1, None), seed=3)(np.ones((4, 6, 5), "float32"), training=True)
    assert (y == y[:, :1]).all()
    assert 0 < (y == 0).mean() < 1


def test_a_frozen_batch_normalization_uses_and_keeps_its_statistics() -> None:
    layer = kg.layers.BatchNormalization()
    x = np.random.default_rng(0).normal(size=(8, 3)).astype("float32")
    layer(x)
    layer.trainable = False
    before = layer.get_weights()
    np.testing.assert_array_equal(layer(x, training=True), layer(x, training=False))
    assert all((a == b).all() for a, b in zip(before, layer.get_weights(), strict=True))


def test_lambda_gets_its_arguments() -> None:
    layer = kg.layers.Lambda(lambda x, factor, training: x * factor if training else x, arguments={"factor": 3.0})
    x = np.ones((2, 2), "float32")
    assert (layer(x, training=True) == 3).all()
    assert (layer(x) == 1).all()


def test_an_index_outside_the_table_is_an_error() -> None:
    layer = kg.layers.Embedding(4, 2)
    with pytest.raises(IndexError, match="4"):
        layer(np.array([[0, 4]]))


@pytest.mark.parametrize("name", ["Add", "Subtract", "Multiply", "Average", "Maximum", "Minimum", "Concatenate"])
def test_masked_merges_are_those_of_keras(name: str) -> None:
    def build(k: Any) -> Any:
        a, b = k.Input((4,), dtype="int32"), k.Input((4,), dtype="int32")
        table = k.layers.Embedding(5, 3, mask_zero=True)
        merged = getattr(k.layers, name)()([table(a), table(b)])
        return k.Model([a, b], merged), merged, table

    ours, own, table = build(kg)
    theirs, _, his = build(keras)
    table.set_weights(his.get_weights())
    x = [np.array([[1, 0, 2, 0], [3, 3, 0, 0]], "int32"), np.array([[1, 2, 0, 0], [0, 4, 1, 0]], "int32")]
    np.testing.assert_allclose(ours(x), np.asarray(theirs(x)), rtol=1e-6)
    assert own.mask is not None
