"""Dtype policies: the dtypes are those of Keras, and half precision is computed in float32 between them on the CPU."""

from __future__ import annotations

import pickle
from collections.abc import Iterator
from typing import Any

import keras
import numpy as np
import pytest

import kgraph as kg
from kgraph.errors import ArgumentError
from kgraph.graph.types import numpy_dtype

pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")
X = np.random.default_rng(0).normal(size=(8, 6)).astype("float32")
Y = X[:, :1] - X[:, 1:2]
CLOSE = {"float16": 1e-2, "bfloat16": 1e-1}


@pytest.fixture(autouse=True)
def usual_policy() -> Iterator[None]:
    yield
    kg.config.set_dtype_policy("float32")
    keras.config.set_dtype_policy("float32")


def stack(k: Any, mixed: bool) -> Any:
    """A model with layers that each treat dtypes in their own way; Keras's GRU wants weights in float32."""
    tail = [k.layers.LayerNormalization(), k.layers.Dropout(0.0), k.layers.Dense(1, dtype="float32")]
    parts = [k.layers.Conv1D(3, 2, activation="gelu"), k.layers.GRU(4) if mixed else k.layers.Flatten()]
    parts += [k.layers.Dense(4, activation="softmax"), k.layers.BatchNormalization()]
    return k.Sequential([k.Input((6,)), k.layers.Reshape((3, 2)), *parts, *tail])


@pytest.mark.parametrize("policy", ["mixed_float16", "mixed_bfloat16", "float16", "bfloat16"])
def test_every_value_has_the_dtype_of_keras(policy: str, monkeypatch: pytest.MonkeyPatch) -> None:
    kg.config.set_dtype_policy(policy)
    keras.config.set_dtype_policy(policy)
    ours, theirs = (stack(k, policy.startswith("mixed")) for k in (kg, keras))
    assert [layer.output.dtype for layer in ours.layers] == [layer.output.dtype for layer in theirs.layers]
    assert [one.dtype for one in ours.weights] == [keras.backend.standardize_dtype(one.dtype) for one in theirs.weights]
    if policy in ("mixed_bfloat16", "float16"):
        return  # by the same code as the others
    ours.set_weights(theirs.get_weights())
    inside = kg.Model(ours.inputs, ours.layers[3].output)
    wanted = np.asarray(keras.Model(theirs.inputs[0], theirs.layers[3].output)(X))
    close = CLOSE[ours.layers[0].compute_dtype]
    monkeypatch.setenv("KGRAPH_CUDA", "emulate")
    on_cuda = kg.compile(inside, target="cuda")
    kept = {buffer.dtype for buffer in on_cuda._forward().program.plan.buffers.values() if buffer.place == "arena"}
    assert ours.layers[0].compute_dtype in kept
    for found in (inside(X), inside.predict(X, verbose=0), kg.compile(inside)(X), on_cuda(X)):
        assert found.dtype == wanted.dtype
        np.testing.assert_allclose(found.astype("float32"), wanted.astype("float32"), atol=close)
    assert ours.predict(X, verbose=0).dtype == np.float32


@pytest.mark.parametrize("policy", ["mixed_float16", "mixed_bfloat16"])
def test_gradients_in_halves_are_near_those_of_float32(policy: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KGRAPH_CUDA", "emulate")
    kg.config.set_dtype_policy(policy)
    kg.utils.set_random_seed(1)
    parts = [kg.layers.Conv1D(3, 2, activation="gelu"), kg.layers.GRU(4), kg.layers.BatchNormalization()]
    parts += [kg.layers.Dense(4, activation="softmax"), kg.layers.Dense(1, dtype="float32")]
    model = kg.Sequential([kg.Input((6,)), kg.layers.Reshape((3, 2)), *parts])
    value, found = kg.compile(model, loss="mse", target="cuda").value_and_grad(X, Y)
    exact, wanted = kg.compile(model, loss="mse").value_and_grad(X, Y)
    close = 2 * CLOSE[policy.removeprefix("mixed_")]
    assert abs(float(value) - float(exact)) < close * float(exact)
    for have, want in zip(found, wanted, strict=True):
        assert have.dtype == want.dtype == np.float32
        np.testing.assert_allclose(have, want, atol=close * max(1.0, float(np.abs(want).max())))


def test_double_precision_throughout() -> None:
    kg.config.set_dtype_policy("float64")
    model = stack(kg, mixed=True)
    assert [one.dtype for one in model.weights] == ["float64"] * (len(model.weights) - 2) + ["float32"] * 2
    inside = kg.Model(model.inputs, model.layers[-2].output)
    assert inside.predict(X, verbose=0).dtype == inside(X).dtype == np.float64


@pytest.mark.parametrize("policy", ["mixed_bfloat16", "float16"])
def test_training_is_that_of_keras(policy: str) -> None:
    kg.config.set_dtype_policy(policy)
    keras.config.set_dtype_policy(policy)
    losses, models = [], []
    for k in (kg, keras):
        parts = [k.layers.Dense(5, activation="tanh"), k.layers.BatchNormalization(), k.layers.Dense(1)]
        models.append(k.Sequential([k.Input((6,)), *parts]))
    models[0].set_weights(models[1].get_weights())
    for k, model in zip((kg, keras), models, strict=True):
        model.compile(k.optimizers.SGD(0.05), "mse")
        losses.append([float(model.train_on_batch(X, Y)) for _ in range(4)])
    np.testing.assert_allclose(losses[0], losses[1], rtol=CLOSE[policy.removeprefix("mixed_")])
    assert losses[0][-1] < losses[0][0]


def test_float16_trains_with_a_scaled_loss() -> None:
    kg.config.set_dtype_policy("mixed_float16")
    model = kg.Sequential([kg.Input((6,)), kg.layers.Dense(5, activation="relu"), kg.layers.Dense(1)])
    model.compile(kg.optimizers.Adam(0.02), "mse")
    assert isinstance(model.optimizer, kg.optimizers.LossScaleOptimizer)
    losses = model.fit(X, Y, batch_size=4, epochs=20, verbose=0).history["loss"]
    assert losses[-1] < 0.5 * losses[0]
    assert (float(model.optimizer.dynamic_scale), int(model.optimizer.step_counter)) == (2.0**15, 40)
    model.train_on_batch(X * np.inf, Y)  # a step that is left out
    assert float(model.optimizer.dynamic_scale) == 2.0**14
    assert all(np.isfinite(weight).all() for weight in model.get_weights())


def test_a_layer_of_ones_own_reads_its_weights_in_the_dtype_it_computes_in() -> None:
    seen = {}

    class Inner(kg.layers.Layer):
        def build(self, shape: Any) -> None:
            self.kernel = self.add_weight((shape[-1], 2), name="kernel")
            self.exact = self.add_weight((2,), "ones", name="exact", autocast=False)
            self.count = self.add_weight((), "zeros", dtype="int32", trainable=False, name="count")
            self.sum = self.add_weight((), "zeros", trainable=False, name="sum")

        def call(self, x: Any) -> Any:
            y = x @ self.kernel
            values = (x, self.kernel.as_symbol(), self.exact.as_symbol(), self.count.as_symbol(), y)
            seen[self.name] = [value.dtype for value in values]
            self.count.assign_add(1)
            self.sum.assign_add(kg.ops.sum(y))
            return y * kg.ops.cast(self.exact, y.dtype)

    class Outer(kg.layers.Layer):
        def __init__(self, **options: Any) -> None:
            super().__init__(**options)
            self.a, self.b = Inner(name="a", dtype="mixed_bfloat16"), Inner(name="b", dtype="float32")

        def call(self, x: Any) -> Any:
            return kg.ops.cast(self.a(x), "float32") + self.b(x)

    layer = Outer(dtype="mixed_float16")
    assert layer(X).dtype == np.float32
    assert {weight.dtype for weight in layer.trainable_weights} == {"float32"}
    assert seen["a"] == ["bfloat16", "bfloat16", "float32", "int32", "bfloat16"]
    assert seen["b"] == ["float32", "float32", "float32", "int32", "float32"]
    assert (int(layer.a.count), layer.a.sum.dtype) == (1, "float32")


def test_what_a_compiled_half_takes_and_gives() -> None:
    layer = kg.layers.Dense(3, dtype="float16")
    model = kg.Sequential([kg.Input((6,), dtype="float16"), layer])
    f = kg.compile(model, loss="mse")
    x = X.astype("float16")
    wanted = (x.astype("float32") @ layer.kernel.numpy().astype("float32")).astype("float16")
    for given in (x, X, x[::-1][::-1]):
        found = f(given)
        assert found.dtype == np.float16
        np.testing.assert_allclose(found.astype("f4"), wanted.astype("f4"), atol=2e-2)
    out = np.empty((8, 3), "float16")
    assert f(x, out=out) is out
    np.testing.assert_array_equal(out, f(x))
    _, gradients = f.value_and_grad(x, np.zeros((8, 3), "float16"))
    assert [one.dtype for one in gradients] == [np.float16, np.float16]
    assert not any("16" in str(node.type) for node in f.ir)


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_variables_of_half_precision(dtype: str) -> None:
    variable = kg.Variable([1.0, 1 / 3], dtype=dtype, name="v")
    third = np.asarray(1 / 3, numpy_dtype(dtype))
    assert (variable.dtype, variable.numpy().dtype, variable.value.dtype) == (dtype, third.dtype, third.dtype)
    assert variable.numpy()[1] == third == np.asarray(variable)[1]
    assert pickle.loads(pickle.dumps(variable)).numpy()[1] == third
    step = kg.compile(lambda x: variable.assign_add(x), inputs=kg.Input(batch_shape=(2,), dtype=dtype))
    assert step(np.ones(2, third.dtype)).dtype == third.dtype
    assert variable.numpy()[0] == 2 and variable.version == 1
    with pytest.raises(ValueError, match="shape"):
        variable.assign(np.ones(3))


def test_policies_by_name() -> None:
    for module in (kg.config, kg.dtype_policies):
        module.set_dtype_policy("mixed_bfloat16")
        assert module.dtype_policy() == kg.DTypePolicy("mixed_bfloat16") == kg.DTypePolicy()
        assert kg.layers.Dense(2).compute_dtype == "bfloat16"
        module.set_dtype_policy(kg.DTypePolicy("float64"))
        assert kg.layers.Dense(2).dtype_policy.name == "float64"
        module.set_dtype_policy("float32")
    layer = kg.layers.Dense(2, dtype=kg.DTypePolicy("mixed_float16"))
    again = kg.layers.Dense.from_config(layer.get_config())
    assert (again.variable_dtype, again.compute_dtype) == ("float32", "float16")
    for wrong in ("mixed_float32", "float8", "half", 3):
        with pytest.raises(ArgumentError, match="policy"):
            kg.DTypePolicy(wrong)  # type: ignore[arg-type]
