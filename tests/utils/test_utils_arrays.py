"""Helpers for arrays, beside those of Keras."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import kgraph as kg
from kgraph.errors import ArgumentError, DTypeError, RangeError, ShapeError

RAGGED = [[1], [2, 3], [4, 5, 6], [], [7, 8]]


@pytest.mark.parametrize("maxlen", [None, 1, 2, 5])
@pytest.mark.parametrize("padding", ["pre", "post"])
@pytest.mark.parametrize("truncating", ["pre", "post"])
@pytest.mark.parametrize(("dtype", "value"), [("int32", 0.0), ("float32", -1.5), (object, "pad")])
def test_sequences_are_padded_as_in_keras(maxlen: Any, padding: str, truncating: str, dtype: Any, value: Any) -> None:
    keras = pytest.importorskip("keras")
    options = {"maxlen": maxlen, "dtype": dtype, "padding": padding, "truncating": truncating, "value": value}
    for sequences in (
        RAGGED,
        [np.array(one) for one in RAGGED if one],
        [["a"], ["b", "c"]] if dtype is object else RAGGED,
    ):
        found, wanted = (one.utils.pad_sequences(sequences, **options) for one in (kg, keras))
        np.testing.assert_array_equal(found, wanted)
        assert found.dtype == wanted.dtype


def test_elements_may_be_vectors() -> None:
    keras = pytest.importorskip("keras")
    sequences = [np.ones((2, 3)), np.zeros((0, 3)), np.full((4, 3), 2)]
    found, wanted = (one.utils.pad_sequences(sequences, maxlen=3, dtype="float32", value=9) for one in (kg, keras))
    np.testing.assert_array_equal(found, wanted)


def test_nothing_is_padded_to_nothing() -> None:
    assert kg.utils.pad_sequences([]).shape == (0, 0)
    assert kg.utils.pad_sequences([[], []]).shape == (2, 0)
    assert kg.utils.pad_sequences([[1, 2]], maxlen=0).shape == (1, 0)
    np.testing.assert_array_equal(kg.utils.pad_sequences([[], []], maxlen=2, value=3), [[3, 3], [3, 3]])


@pytest.mark.parametrize(
    ("arguments", "options", "error"),
    [
        ([[[1]]], {"padding": "left"}, ArgumentError),
        ([[[1]]], {"truncating": None}, ArgumentError),
        ([[1, 2]], {}, ArgumentError),
        ([3], {}, ArgumentError),
        ([[[1]]], {"maxlen": -1}, ArgumentError),
        ([[[1]]], {"value": "pad"}, DTypeError),
        ([[[1, 2], [[1, 2]]]], {}, ShapeError),
    ],
)
def test_what_cannot_be_padded_is_an_error(arguments: Any, options: dict[str, Any], error: type[Exception]) -> None:
    with pytest.raises(error):
        kg.utils.pad_sequences(*arguments, **options)


@pytest.mark.parametrize("classes", [[0, 2, 1], [[0], [3]], [[0, 1], [2, 1]], 3])
def test_categories_are_those_of_keras(classes: Any) -> None:
    keras = pytest.importorskip("keras")
    for options in ({}, {"num_classes": 6}):
        found, wanted = (one.utils.to_categorical(classes, **options) for one in (kg, keras))
        np.testing.assert_array_equal(found, wanted)
    with pytest.raises(RangeError, match="class 3 is outside 0 to 2"):
        kg.utils.to_categorical([3], 3)


@pytest.mark.parametrize("axis", [-1, 1])
@pytest.mark.parametrize("order", [1, 2, np.inf])
def test_norms_are_those_of_keras(axis: int, order: Any) -> None:
    keras = pytest.importorskip("keras")
    x = np.random.default_rng(0).normal(size=(4, 3))
    x[1] = 0
    np.testing.assert_allclose(kg.utils.normalize(x, axis, order), keras.utils.normalize(x, axis, order))


def test_seeds_and_names_begin_anew() -> None:
    draws = []
    for _ in range(2):
        kg.utils.set_random_seed(5)
        kg.utils.clear_session()
        layer = kg.layers.Dense(2)
        layer.build((None, 3))
        draws.append((layer.name, np.random.random(), layer.get_weights()[0].tolist()))
    assert draws[0] == draws[1] and draws[0][0] == "dense"
