"""Constructors of layers beside Keras's: the same parameters, in the same places, with the same defaults."""

from __future__ import annotations

import keras

import kgraph as kg


def test_data_format_comes_first_in_the_transposed_convolution_of_volumes() -> None:
    for layers in (keras.layers, kg.layers):
        layer = layers.Conv3DTranspose(2, 3, 2, "same", "channels_first", 1)
        assert layer.data_format == "channels_first"
        assert layer.output_padding in (1, (1, 1, 1))
        flat = layers.Conv2DTranspose(2, 3, 2, "same", 1, "channels_first")
        assert flat.data_format == "channels_first"
        assert flat.output_padding in (1, (1, 1))
