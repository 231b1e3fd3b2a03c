"""Patches of images beside Keras."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
import pytest

import kgraph as kg
from kgraph import ops
from kgraph.errors import ShapeError


@pytest.mark.parametrize(
    "options",
    [
        {"size": 3},
        {"size": (2, 4)},
        {"size": 3, "strides": 1},
        {"size": (5, 2), "strides": (2, 3), "padding": "same"},
        {"size": 3, "strides": 1, "dilation_rate": 2},
        {"size": 3, "data_format": "channels_first"},
    ],
    ids=str,
)
def test_patches_of_images_are_kerass(options: dict[str, Any]) -> None:
    images = np.random.default_rng(0).random((2, 9, 11, 3), dtype=np.float32)
    images = np.moveaxis(images, -1, 1) if "data_format" in options else images
    wanted = np.asarray(keras.ops.image.extract_patches(images, **options))
    np.testing.assert_array_equal(ops.image.extract_patches(images, **options), wanted)
    np.testing.assert_array_equal(ops.image.extract_patches(images[0], **options), wanted[0])


def test_patches_that_do_not_overlap_may_be_cut_from_images_of_any_size() -> None:
    patches = kg.compile(lambda x: ops.image.extract_patches(x, 3), inputs=[kg.Input((None, None, 2))])
    for shape in ((1, 6, 9, 2), (3, 4, 3, 2)):
        images = np.random.default_rng(0).random(shape, dtype=np.float32)
        np.testing.assert_array_equal(patches(images), ops.image.extract_patches(images, 3))
    with pytest.raises(ShapeError, match="must be known"):
        kg.compile(lambda x: ops.image.extract_patches(x, 3, 1), inputs=[kg.Input((None, 5, 2))])
