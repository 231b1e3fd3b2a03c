"""Attention with projections: what its weights begin with."""

from __future__ import annotations

from itertools import combinations
from typing import Any

import keras
import numpy as np
import pytest

import kgraph as kg

pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")  # of Keras's variables

LAYERS = {
    "MultiHeadAttention": lambda k, **options: k.layers.MultiHeadAttention(2, 6, **options),
    "GroupQueryAttention": lambda k, **options: k.layers.GroupQueryAttention(6, 2, 2, **options),
}


def alike(k: Any, name: str, **options: Any) -> list[tuple[int, int]]:
    """The pairs of kernels that begin with the same numbers."""
    layer = LAYERS[name](k, **options)
    layer.build((1, 4, 6), (1, 4, 6))
    kernels = [one.numpy() for one in layer.weights[::2]]
    pairs = combinations(enumerate(kernels), 2)
    return [(i, j) for (i, one), (j, other) in pairs if one.shape == other.shape and np.array_equal(one, other)]


@pytest.mark.parametrize("name", LAYERS)
def test_projections_begin_with_numbers_of_their_own(name: str) -> None:
    assert alike(kg, name) == alike(keras, name) == []
    own = {"kernel_initializer": kg.initializers.HeNormal()}
    assert alike(kg, name, **own) == []


@pytest.mark.parametrize("name", LAYERS)
def test_a_seed_makes_them_alike_as_in_keras(name: str) -> None:
    found = [alike(k, name, kernel_initializer=k.initializers.HeNormal(seed=1)) for k in (kg, keras)]
    assert found[0] == found[1] != []


@pytest.mark.parametrize("name", LAYERS)
def test_the_weights_have_the_names_that_keras_gives_them(name: str) -> None:
    layers = [LAYERS[name](k, name="heads") for k in (kg, keras)]
    for layer in layers:
        layer.build((1, 4, 6), (1, 4, 6))
    ours, theirs = ([one.path for one in layer.weights] for layer in layers)
    assert ours == theirs
    assert ours[0] == "heads/query/kernel"
