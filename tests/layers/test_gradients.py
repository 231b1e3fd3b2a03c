"""Every layer compiled, beside Keras: outputs, and gradients of inputs and weights, for odd batch sizes."""

from __future__ import annotations

import inspect
from typing import Any

import jax
import keras
import numpy as np
import pytest
from layer_families import Case, applied, arrays_of
from layer_table import TABLE, both, name_of

import kgraph as kg

pytestmark = [
    pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning"),
    pytest.mark.filterwarnings("ignore:You passed `rms_scaling:UserWarning"),
]

BENT = ("relu", "relu6", "leaky_relu", "elu", "selu", "celu", "hard_sigmoid", "hard_silu", "hard_tanh", "gelu", "silu")
BATCHES = (17, 3, 1)
TRAINED = [case for case in TABLE if case.layer == "BatchNormalization" or case.options.get("rate") == 0.0]
SMOOTH = [case for case in TABLE if case.layer != "Discretization" or "output_mode" in case.options]  # others: integers
ON_CUDA = ("Dense", "EinsumDense", "Embedding", "Dropout", "Dot", "LayerNormalization", "BatchNormalization")


def batch_of(case: Case, size: int) -> list[np.ndarray]:
    """Inputs of the case for a batch of this size."""
    return arrays_of(case, size, seed=size)


def compiled(layer: Any, case: Case, **options: Any) -> Any:
    """A model of this layer alone, compiled."""
    dtype = "int32" if case.indices else "float32"
    inputs = [kg.Input(array.shape[1:], dtype=dtype) for array in batch_of(case, 1)]
    return kg.compile(kg.Model(inputs, applied(case, layer, inputs)), **options)


def by_keras(
    case: Case, layer: Any, arrays: list[np.ndarray], training: bool, cotangent: Any
) -> tuple[Any, list[Any], list[Any]]:
    """Keras's output, and the gradients of the inputs and of the trainable weights."""
    trainable = [variable.value for variable in layer.trainable_variables]
    others = [variable.value for variable in layer.non_trainable_variables]
    options = {"training": training} if "training" in inspect.signature(layer.call).parameters else {}

    def call(inputs: Any, weights: Any) -> Any:
        stateless = lambda *given, **how: layer.stateless_call(weights, others, *given, **how)[0]
        return applied(case, stateless, inputs, **options)

    if arrays[0].dtype == np.float32:
        output, back = jax.vjp(call, arrays, trainable)
        return (output, *back(cotangent(output)))
    output, back = jax.vjp(lambda weights: call(arrays, weights), trainable)
    return output, [np.zeros(array.shape) for array in arrays], back(cotangent(output))[0]


def near(found: Any, wanted: Any, tolerance: float, what: str, least: float = 1e-30) -> None:
    """Equal to within this part of the largest element, or of `least` where all are smaller."""
    found, wanted = np.asarray(found), np.asarray(wanted)
    assert found.shape == wanted.shape, what
    if wanted.size:
        largest = max(least, float(np.abs(wanted).max()))
        np.testing.assert_allclose(found, wanted, rtol=0, atol=tolerance * largest, err_msg=what)


def tolerance_of(case: Case, training: bool) -> float:
    # A statistic of the batch is subtracted from what made it: digits cancel, here and in Keras, in another order.
    # Scores of attention are large here, and so is what their rounding does to a softmax.
    return 1e-4 if (training and case.layer == "BatchNormalization") or "Attention" in case.layer else 1e-5


def agree(case: Case, training: bool, batches: tuple[int, ...], **options: Any) -> None:
    """Check a case against Keras for these sizes of the batch."""
    ours, theirs, _ = both(case)
    kept = ours.get_weights()
    model = compiled(ours, case, training=training, **options)
    for size in batches:
        arrays = batch_of(case, size)
        ours.set_weights(kept)
        cotangent = lambda y: np.random.default_rng(99).normal(size=y.shape).astype("float32")
        wanted, inputs, weights = by_keras(case, theirs, arrays, training, cotangent)
        found, pullback = model.vjp(*arrays)
        dx, dw = pullback(cotangent(found))
        tolerance = tolerance_of(case, training)
        near(found, wanted, tolerance, "the output")
        for number, (own, his) in enumerate(zip(dx if len(arrays) > 1 else [dx], inputs, strict=True)):
            near(own, his, tolerance, f"the gradient of input {number}, batch {size}")
        for variable, own, his in zip(theirs.trainable_variables, dw, weights, strict=True):
            # A bias of all keys changes no softmax: of its gradient, 0, there is rounding only.
            least = 1.0 if "Attention" in case.layer else 1e-30
            near(own, his, tolerance, f"the gradient of {variable.name}, batch {size}", least)


@pytest.mark.parametrize("case", SMOOTH, ids=map(name_of, SMOOTH))
def test_outputs_and_gradients_are_those_of_keras(case: Case) -> None:
    agree(case, False, BATCHES)


@pytest.mark.parametrize("case", TRAINED, ids=map(name_of, TRAINED))
def test_outputs_and_gradients_in_training_are_those_of_keras(case: Case) -> None:
    agree(case, True, BATCHES)


@pytest.mark.parametrize("training", [False, True])
@pytest.mark.parametrize("case", SMOOTH, ids=map(name_of, SMOOTH))
def test_an_empty_batch_has_empty_outputs_and_gradients(case: Case, training: bool) -> None:
    ours, _, _ = both(case)
    model = compiled(ours, case, training=training)
    arrays = batch_of(case, 0)
    found, pullback = model.vjp(*arrays)
    assert found.shape == (0, *np.shape(applied(case, ours, arrays_of(case)))[1:])
    dx, dw = pullback(found)
    assert [one.shape for one in (dx if len(arrays) > 1 else [dx])] == [one.shape for one in arrays]
    assert [one.shape for one in dw] == [variable.shape for variable in ours.trainable_variables]


@pytest.mark.parametrize("name", BENT)
def test_activations_have_the_gradients_of_keras_where_they_bend(name: str) -> None:
    """A bias starts at 0, so many a first gradient is taken there."""
    x = np.array([[0, 1, -1, 3, -3, 6, -6, 0.5, -0.5, 40, -40, 1e4, -1e4]], "float32")
    i = kg.Input(x.shape[1:])
    model = kg.compile(kg.Model(i, kg.layers.Activation(name)(i)))
    dy = np.random.default_rng(0).normal(size=x.shape).astype("float32")
    wanted, back = jax.vjp(keras.activations.get(name), x)
    found, pullback = model.vjp(x)
    np.testing.assert_allclose(found, wanted, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(pullback(dy)[0], back(dy)[0], rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("noise_shape", [None, (None, 1, None)])
def test_the_gradient_of_dropout_goes_through_the_mask_of_the_output(noise_shape: Any) -> None:
    layer = kg.layers.Dropout(0.4, noise_shape=noise_shape, seed=5)
    i = kg.Input((7, 6))
    model = kg.compile(kg.Model(i, layer(i)), training=True)
    x = np.random.default_rng(0).uniform(1, 2, (9, 7, 6)).astype("float32")
    before = None
    for _ in range(2):
        y, pullback = model.vjp(x)
        dy = np.random.default_rng(1).normal(size=y.shape).astype("float32")
        np.testing.assert_allclose(pullback(dy)[0], dy * (y / x), rtol=1e-5)
        np.testing.assert_allclose(pullback(2 * dy)[0], 2 * dy * (y / x), rtol=1e-5)
        assert before is None or (before != (y == 0)).any()
        before = y == 0


@pytest.mark.parametrize("training", [False, True])
def test_state_after_a_vjp_is_that_of_one_call(training: bool) -> None:
    layer, twin = kg.layers.BatchNormalization(), kg.layers.BatchNormalization()
    i = kg.Input((5,))
    x = np.random.default_rng(0).normal(size=(9, 5)).astype("float32")
    model, other = kg.Model(i, layer(i)), kg.Model(i, twin(i))
    _, pullback = kg.compile(model, training=training).vjp(x)
    pullback(x)
    kg.compile(other, training=training)(x)
    for own, his in zip(layer.get_weights(), twin.get_weights(), strict=True):
        np.testing.assert_array_equal(own, his)


def cuda_cases() -> list[Any]:
    """A few cases run always, all of them with --slow."""
    sample = [next(case for case in TABLE if case.layer == layer) for layer in ON_CUDA]
    marks = [() if case in sample else pytest.mark.slow for case in SMOOTH]
    return [pytest.param(case, id=name_of(case), marks=mark) for case, mark in zip(SMOOTH, marks, strict=True)]


@pytest.mark.parametrize("case", cuda_cases())
def test_outputs_and_gradients_on_cuda_are_those_of_keras(case: Case, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KGRAPH_CUDA", "emulate")
    agree(case, case in TRAINED, (3,), target="cuda")
