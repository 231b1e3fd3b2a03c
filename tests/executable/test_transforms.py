"""jit, grad and value_and_grad of plain functions, and gradients that users write."""

from __future__ import annotations

import numpy as np
import pytest

import kgraph as kg
from kgraph import ops
from kgraph.errors import ArgumentError, DTypeError
from kgraph.executable.transforms import grad, jit, value_and_grad

X = np.array([0.5, 1.0, -3.0], np.float32)


@ops.custom_gradient
def log1pexp(x):
    """The example of the Keras documentation: the gradient of the formula overflows, that which is given does not."""
    e = ops.exp(x)

    def gradient(*args, upstream=None):
        if upstream is None:
            (upstream,) = args
        return ops.multiply(upstream, 1.0 - 1.0 / ops.add(1, e))

    return ops.log(1 + e), gradient


def test_jit_keeps_nests_and_compiles_once_for_each_type():
    calls = []

    @jit
    def pair(a, scale, *, negate=False):
        calls.append(a["x"].shape)
        made = a["x"] * scale
        return {"made": -made if negate else made, "sum": [ops.sum(made)]}

    for _ in range(3):
        found = pair({"x": X}, 2.0)
    assert len(calls) == 1 and np.allclose(found["made"], 2 * X) and np.allclose(found["sum"][0], 2 * X.sum())
    assert np.allclose(pair({"x": X}, 2.0, negate=True)["made"], -2 * X) and len(calls) == 2
    assert pair({"x": X[:2]}, 2.0)["made"].shape == (2,) and len(calls) == 3


def test_a_jitted_function_is_itself_inside_of_a_model():
    double = jit(lambda x: x * 2)
    symbol = kg.Input((3,))
    model = kg.Model(symbol, kg.layers.Lambda(double)(symbol))
    assert np.allclose(kg.compile(model)(X[None]), 2 * X)


def test_value_and_grad_of_several_arguments():
    function = value_and_grad(lambda a, b: (ops.sum(a["u"] ** 2 * b), a["u"]), (0, 1), has_aux=True)
    (value, aux), (to_a, to_b) = function({"u": X}, 2.0)
    assert np.allclose(value, 2 * (X**2).sum()) and np.array_equal(aux, X)
    assert np.allclose(to_a["u"], 4 * X) and np.allclose(to_b, (X**2).sum())


def test_grad_of_grad():
    assert grad(grad(lambda x: x**3))(2.0) == 12


def test_what_a_function_reads_from_outside_is_constant():
    def call(x):
        outside = x * x
        return grad(lambda y: ops.sum(outside * y))(x)

    assert np.allclose(jit(call)(X), X * X)


def test_a_custom_gradient_is_what_counts():
    large = np.array([80.0, 1.0], np.float32)
    found = grad(lambda x: ops.sum(log1pexp(x)))(large)
    np.testing.assert_allclose(found, 1 - 1 / (1 + np.exp(large)), rtol=1e-5)
    with kg.GradientTape() as tape:
        tape.watch(large)
        y = log1pexp(large)
    np.testing.assert_allclose(tape.gradient(y, large), found, rtol=1e-5)
    np.testing.assert_allclose(log1pexp(X), np.log1p(np.exp(X)), rtol=1e-5)


def test_a_custom_gradient_inside_of_a_model():
    symbol = kg.Input((3,))
    model = kg.Model(symbol, kg.layers.Lambda(log1pexp)(symbol))
    _, pullback = kg.compile(model).vjp(X[None])
    to_x, _ = pullback(np.ones((1, 3), np.float32))
    np.testing.assert_allclose(to_x[0], 1 - 1 / (1 + np.exp(X)), rtol=1e-5)


def test_bad_input_is_refused():
    with pytest.raises(ArgumentError, match="argnums"):
        grad(lambda x: ops.sum(x), 1)(X)
    with pytest.raises(DTypeError, match="floating"):
        grad(lambda x: ops.sum(x))(np.arange(3))
    with pytest.raises(ArgumentError, match="returns"):
        ops.custom_gradient(lambda x: x)(X)
    pair = ops.custom_gradient(lambda a, b: (a * b, lambda upstream: upstream))
    with pytest.raises(ArgumentError, match="1 parts"):
        grad(lambda x: ops.sum(pair(x, x)))(X)
