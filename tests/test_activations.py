"""Activations by name: the functions of keras.activations, their arguments, and their errors."""

from __future__ import annotations

import inspect
from typing import Any

import keras
import numpy as np
import pytest

from kgraph import activations
from kgraph.errors import ArgumentError
from kgraph.graph.evaluate import evaluate
from kgraph.graph.sizes import N
from kgraph.graph.types import TensorType
from kgraph.tracing.trace import trace

X = np.concatenate([np.linspace(-7, 7, 44), [0.5, -0.5, 1.0, -1.0]]).astype(np.float32).reshape(4, 12)
NAMES = sorted(
    name
    for name, one in vars(keras.activations).items()
    if inspect.isfunction(one) and name not in ("get", "serialize", "deserialize")
)
ARGUMENTS: dict[str, list[dict[str, Any]]] = {
    "relu": [
        {"negative_slope": 0.1},
        {"max_value": 3.0},
        {"threshold": 1.0},
        {"negative_slope": 0.1, "max_value": 3.0, "threshold": 1.0},
        {"max_value": 6},
        {"negative_slope": 0.2, "max_value": 2.0},
    ],
    "gelu": [{"approximate": True}],
    "elu": [{"alpha": 0.3}],
    "celu": [{"alpha": 0.3}],
    "leaky_relu": [{"negative_slope": 0.01}],
    "softmax": [{"axis": 0}],
    "log_softmax": [{"axis": 0}],
    "hard_shrink": [{"threshold": 2.0}],
    "soft_shrink": [{"threshold": 2.0}],
    "squareplus": [{"b": 1}],
    "glu": [{"axis": 0}],
    "threshold": [{"threshold": 0.5, "default_value": -3.0}],
    "sparsemax": [{"axis": 0}],
}
CALLS = [
    (name, given) for name in NAMES for given in [{}, *ARGUMENTS.get(name, [])] if (name, given) != ("threshold", {})
]


def projected(x: np.ndarray, axis: int = -1) -> np.ndarray:
    """The nearest probabilities, by halving for the threshold; what Keras 3.15 gives on jax does not add up to 1."""
    low, high = x.min(axis, keepdims=True) - 1.0, x.max(axis, keepdims=True)
    for _ in range(60):
        middle = (low + high) / 2
        is_low = np.maximum(x - middle, 0).sum(axis, keepdims=True) > 1
        low, high = np.where(is_low, middle, low), np.where(is_low, high, middle)
    return np.maximum(x - low, 0).astype(x.dtype)


@pytest.mark.parametrize(("name", "given"), CALLS)
def test_activations_are_those_of_keras(name: str, given: dict[str, Any]) -> None:
    judge = projected if name == "sparsemax" else getattr(keras.activations, name)
    wanted = np.asarray(judge(X, **given))
    call = activations.get(name)
    graph = trace(lambda x: call(x, **given), TensorType((N, 12)) if name != "glu" else TensorType((4, 12)))
    for have in (call(X, **given), evaluate(graph, [X])[0][0]):
        assert have.dtype.name == wanted.dtype.name
        np.testing.assert_allclose(have, wanted, rtol=1e-5, atol=2e-6)


@pytest.mark.parametrize("name", NAMES)
def test_arguments_are_called_and_default_as_in_keras(name: str) -> None:
    ours, theirs = (
        inspect.signature(getattr(one, name)).parameters.values() for one in (activations, keras.activations)
    )
    assert [(one.name, one.default) for one in ours] == [(one.name, one.default) for one in theirs]


@pytest.mark.parametrize("name", NAMES)
def test_names_survive_serialisation(name: str) -> None:
    one = activations.get(name)
    assert activations.deserialize(activations.serialize(one)) is one
    assert activations.serialize(one) == keras.activations.serialize(getattr(keras.activations, name))


def test_none_is_linear_and_functions_are_themselves() -> None:
    assert activations.get(None) is activations.linear
    assert activations.get(np.tanh) is np.tanh
    assert activations.get({"class_name": "function", "config": "relu"}) is activations.relu
    assert activations.deserialize("mine", {"mine": np.tanh}) is np.tanh


def test_unknown_names_are_refused_with_names_like_them() -> None:
    with pytest.raises(ArgumentError, match="unknown activation 'rellu'; did you mean 'relu'"):
        activations.get("rellu")
    with pytest.raises(ArgumentError, match="known: celu, elu"):
        activations.get("xyz")
    with pytest.raises(ArgumentError, match="3 is no activation"):
        activations.get(3)


def test_half_precision_and_integers_are_taken() -> None:
    assert activations.relu(np.array([-1, 2])).tolist() == [0, 2]
    assert activations.sigmoid(np.float16([0.0])).dtype == np.float16
    assert activations.softmax(np.array([1, 1])).tolist() == [0.5, 0.5]
