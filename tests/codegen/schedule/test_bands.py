"""Elementwise kernels whose operands repeat from row to row: a band of these stays in registers."""

from __future__ import annotations

import numpy as np
import pytest

import kgraph as kg


@pytest.mark.parametrize(("channels", "is_banded"), [(32, True), (16, True), (24, False)])
def test_a_convolution_by_channels(channels: int, is_banded: bool) -> None:
    image = kg.Input((6, 7, channels))
    model = kg.Model(
        image, kg.layers.DepthwiseConv2D(3, padding="same", activation="relu", bias_initializer="ones")(image)
    )
    f = kg.compile(model)
    assert ("for band in" in f.source) == is_banded
    x = np.random.default_rng(1).standard_normal((3, 6, 7, channels)).astype(np.float32)
    np.testing.assert_allclose(f(x), model(x), rtol=0, atol=3e-6)


def test_few_operands_that_repeat_need_no_band() -> None:
    x, a, b = kg.Input((6, 7, 32)), kg.Input(batch_shape=(32,)), kg.Input(batch_shape=(32,))
    f = kg.compile(lambda x, a, b: x * a + b, inputs=[x, a, b], lower_only=True)
    assert "for band in" not in f.source


def test_a_convolution_of_one_channel_is_banded_too() -> None:
    image = kg.Input((9, 8, 1))
    model = kg.Model(image, kg.layers.Conv2D(32, 3, strides=2, activation="relu", bias_initializer="ones")(image))
    f = kg.compile(model)
    assert "for band in" in f.source and "multiply_tile" not in f.source
    x = np.random.default_rng(1).standard_normal((3, 9, 8, 1)).astype(np.float32)
    np.testing.assert_allclose(f(x), model(x), rtol=0, atol=3e-6)
