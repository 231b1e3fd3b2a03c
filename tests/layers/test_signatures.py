"""Constructors of layers beside Keras's: the same parameters, in the same places, with the same defaults."""

from __future__ import annotations

import inspect
from itertools import takewhile
from typing import Any

import keras
import numpy as np
import pytest

import kgraph as kg

# What our layers do not have. A parameter that follows one of these in Keras is given by name only, if there is one.
LACKING = {
    "BatchNormalization": ("renorm", "renorm_clipping", "renorm_momentum"),  # refused by name too
    "Dense": ("quantization_config",),
    "EinsumDense": ("gptq_unpacked_column_size", "quantization_config"),
    "Embedding": ("quantization_config",),
    "IntegerLookup": ("oov_method", "salt"),
}
SHARED = [
    name for name in dir(keras.layers) if all(isinstance(getattr(k.layers, name, None), type) for k in (keras, kg))
]
PLAIN = (bool, int, float, str, type(None))


def parameters(kind: type) -> dict[str, inspect.Parameter]:
    """The parameters of a constructor that have names."""
    found = inspect.signature(kind).parameters
    return {name: one for name, one in found.items() if one.kind not in (one.VAR_POSITIONAL, one.VAR_KEYWORD)}


def by_position(kind: type) -> list[str]:
    """The names of those that can be given by position."""
    return [name for name, one in parameters(kind).items() if one.kind is not one.KEYWORD_ONLY]


def test_most_of_the_layers_are_compared() -> None:
    assert len(SHARED) > 100


@pytest.mark.parametrize("name", SHARED)
def test_arguments_stand_in_the_order_of_keras(name: str) -> None:
    lacking = LACKING.get(name, ())
    expected = list(takewhile(lambda one: one not in lacking, by_position(getattr(keras.layers, name))))
    assert by_position(getattr(kg.layers, name)) == expected


@pytest.mark.parametrize("name", SHARED)
def test_defaults_are_those_of_keras(name: str) -> None:
    ours, theirs = parameters(getattr(kg.layers, name)), parameters(getattr(keras.layers, name))
    assert {one for one in theirs if one not in ours} <= {*LACKING.get(name, ())}
    for one in theirs.keys() & ours.keys():
        default = theirs[one].default
        if isinstance(default, PLAIN):
            assert (type(ours[one].default), ours[one].default) == (type(default), default), one


def test_what_stands_behind_a_lacking_argument_is_given_by_name() -> None:
    assert kg.layers.BatchNormalization(synchronized=True).synchronized
    assert kg.layers.LayerNormalization(rms_scaling=True).rms_scaling
    with pytest.raises(TypeError, match="positional"):
        kg.layers.LayerNormalization(-1, 1e-3, True, True, "zeros", "ones", None, None, None, None, True)


def test_a_pooling_layer_takes_its_name_by_position() -> None:
    assert kg.layers.MaxPooling2D(2, None, "valid", None, "halved").name == "halved"


def test_data_format_comes_first_in_the_transposed_convolution_of_volumes() -> None:
    for layers in (keras.layers, kg.layers):
        layer = layers.Conv3DTranspose(2, 3, 2, "same", "channels_first", 1)
        assert layer.data_format == "channels_first"
        assert layer.output_padding in (1, (1, 1, 1))
        flat = layers.Conv2DTranspose(2, 3, 2, "same", 1, "channels_first")
        assert flat.data_format == "channels_first"
        assert flat.output_padding in (1, (1, 1))


SEQUENCES = np.random.default_rng(0).normal(size=(2, 4, 3)).astype("float32")
BY_POSITION: dict[str, tuple[Any, ...]] = {
    "SimpleRNN": (4, "relu", False, "ones", "zeros", "zeros", None, None, None, None, None, None, None, 0.0, 0.0, True),
    "GRU": (4, "relu", "tanh", False, "ones", "zeros", "zeros", None, None, None, None, "unit_norm"),
    "LSTM": (4, "tanh", "hard_sigmoid", True, "ones", "zeros", "ones", False),
    "ConvLSTM1D": (4, 2, 1, "same", "channels_last", 1, "relu", "tanh", False, "ones", "zeros"),
}


@pytest.mark.parametrize("name", BY_POSITION)
def test_arguments_of_recurrent_layers_mean_by_position_what_they_mean_in_keras(name: str) -> None:
    ours, theirs = (getattr(layers, name)(*BY_POSITION[name]) for layers in (kg.layers, keras.layers))
    x = SEQUENCES[..., None] if "Conv" in name else SEQUENCES
    np.testing.assert_allclose(ours(x), theirs(x), rtol=1e-4, atol=1e-5)
    config = ours.get_config()
    for key, value in theirs.get_config().items():
        if isinstance(value, (int, float, str, tuple)) and key not in ("name", "unroll", "zero_output_for_mask"):
            assert config[key] == value, key


@pytest.mark.parametrize("name", ["SimpleRNNCell", "GRUCell", "LSTMCell"])
def test_arguments_of_cells_mean_by_position_what_they_mean_in_keras(name: str) -> None:
    given = [4, *("relu",) * (name != "SimpleRNNCell"), "tanh", True, "ones", "zeros", "ones"]
    ours, theirs = (getattr(layers, name)(*given).get_config() for layers in (kg.layers, keras.layers))
    assert ours["use_bias"] is True
    for key in ("activation", "recurrent_activation"):
        assert ours.get(key) == theirs.get(key)
    assert ours["bias_initializer"]["class_name"] == theirs["bias_initializer"]["class_name"] == "Ones"


@pytest.mark.parametrize("name", ["SimpleRNN", "GRU", "LSTM", "ConvLSTM2D", "GRUCell"])
def test_a_missing_argument_is_named_with_its_layer(name: str) -> None:
    missing = "filters" if "Conv" in name else "units"
    with pytest.raises(TypeError, match=rf"{name[:8]}.*missing.*'{missing}'"):
        getattr(kg.layers, name)()
