"""Layers as users write them, by Keras's documentation: weights, losses, regularizers, state, and parts of parts."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from custom_layers import X, Y, linear, same

import kgraph as kg

pytestmark = [
    pytest.mark.usefixtures("fresh_names"),
    pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning"),
]


def test_the_layer_every_guide_begins_with() -> None:
    model = same(lambda k: k.Sequential([k.Input((5,)), linear(k)(3), k.layers.ReLU(), linear(k)(1)]))
    layer = model.layers[0]
    assert layer.compute_output_shape((7, 5)) == (7, 3)
    again = type(layer).from_config(layer.get_config())
    assert again.get_config() == layer.get_config() and not again.built
    assert layer.get_config()["name"] == layer.name and layer.get_config()["dtype"]


def test_weights_made_in_every_way() -> None:
    def make(k: Any) -> Any:
        class Ways(k.layers.Layer):
            def __init__(self) -> None:
                super().__init__()
                self.shift = k.Variable(k.ops.ones((5,)), name="shift")
                self.count = k.Variable(0.0, trainable=False, name="count")
                self.gain = self.add_weight(shape=(), initializer="ones", name="gain")
                self.seed = k.random.SeedGenerator(3)

            def build(self, input_shape: Any) -> None:
                width = input_shape[-1]
                self.a = self.add_weight(shape=(width, 3), initializer=k.initializers.Constant(0.3), name="a")
                self.c = self.add_weight(shape=[3], initializer="zeros", dtype="float32", trainable=False)
                self.d = self.add_weight(
                    name="d",
                    shape=(3, 1),
                    initializer=lambda shape, dtype=None: k.ops.full(shape, 0.5, dtype=dtype),
                    regularizer=k.regularizers.L2(0.1),
                    constraint=k.constraints.NonNeg(),
                )
                self.e = self.add_weight((1,), "ones")
                self.steps = self.add_weight(shape=(), dtype="int32", initializer="zeros", trainable=False)
                self.built = True

            def call(self, inputs: Any) -> Any:
                self.count.assign_add(k.ops.cast(k.ops.shape(inputs)[0], "float32"))
                self.steps.assign(self.steps + 1)
                hidden = k.ops.tanh((inputs + self.shift) * self.gain @ self.a + self.c)
                return hidden @ self.d + self.e

        return k.Sequential([k.Input((5,)), Ways()])

    model = same(make)
    layer = model.layers[0]
    assert [len(layer.trainable_weights), len(layer.non_trainable_weights)] == [5, 3]
    before = int(layer.steps)
    model.fit(X, Y, batch_size=2, epochs=2, verbose=0)
    assert int(layer.steps) == before + 8


def test_layers_in_lists_dicts_and_attributes() -> None:
    def make(k: Any) -> Any:
        class Block(k.layers.Layer):
            def __init__(self, width: int) -> None:
                super().__init__()
                self.inner = k.layers.Dense(width, activation="tanh", name="inner")

            def call(self, x: Any) -> Any:
                return x + self.inner(x)

        class Tower(k.layers.Layer):
            def __init__(self) -> None:
                super().__init__()
                self.stages = [Block(5) for _ in range(2)]
                self.heads = {"a": k.layers.Dense(2, name="a"), "b": k.layers.Dense(2, name="b")}
                self.last = k.Sequential([k.layers.Dense(3, activation="relu"), k.layers.Dense(1)])

            def call(self, x: Any) -> Any:
                for stage in self.stages:
                    x = stage(x)
                x = k.ops.concatenate([head(x) for head in self.heads.values()], axis=-1)
                return self.last(x)

        x = k.Input((5,))
        return k.Model(x, Tower()(x))

    model = same(make, trained=False)
    tower = model.layers[1]
    assert len(tower.weights) == 12


@pytest.mark.parametrize("style", ["layer", "model"])
def test_losses_added_in_calls(style: str) -> None:
    def make(k: Any) -> Any:
        if style == "layer":
            return k.Sequential([k.Input((5,)), linear(k)(3, rate=0.5), linear(k)(1, rate=0.1)])

        class Network(k.Model):
            def __init__(self) -> None:
                super().__init__()
                self.first, self.last = linear(k)(3, rate=0.2), k.layers.Dense(1, activity_regularizer="l2")

            def call(self, x: Any) -> Any:
                hidden = self.first(x)
                self.add_loss(k.ops.mean(k.ops.abs(hidden)))
                return self.last(hidden)

        return Network()

    model = same(make)
    model(X)
    assert len(model.losses) == (2 if style == "layer" else 3)
    assert all(np.ndim(loss) == 0 for loss in model.losses)


def test_regularizers() -> None:
    def make(k: Any) -> Any:
        class Cubes(k.regularizers.Regularizer):
            def __init__(self, factor: float) -> None:
                self.factor = factor

            def __call__(self, x: Any) -> Any:
                return self.factor * k.ops.sum(k.ops.abs(x) ** 3)

            def get_config(self) -> Any:
                return {"factor": self.factor}

        orthogonal = k.regularizers.OrthogonalRegularizer
        pairs = [
            ("l1", lambda w: 0.01 * k.ops.sum(k.ops.square(w))),
            (k.regularizers.L1L2(0.01, 0.03), k.regularizers.L2(0.02)),
            (orthogonal(0.1), Cubes(0.05)),
            (orthogonal(0.1, mode="columns"), "l2"),
        ]
        parts = [k.layers.Dense(4, kernel_regularizer=kernel, bias_regularizer=bias) for kernel, bias in pairs]
        parts[0].activity_regularizer = k.regularizers.get("l1")
        parts[3].trainable = False
        parts += [k.layers.ActivityRegularization(l1=0.1, l2=0.01), k.layers.Dense(1, activity_regularizer=Cubes(0.1))]
        return k.Sequential([k.Input((5,)), *parts])

    same(make)


def test_constraints_hold_after_every_step() -> None:
    def make(k: Any) -> Any:
        class Centred(k.constraints.Constraint):
            def __call__(self, w: Any) -> Any:
                return w - k.ops.mean(w)

        pairs = [
            (k.constraints.MaxNorm(0.7), "non_neg"),
            (k.constraints.UnitNorm(axis=0), k.constraints.MaxNorm(0.1)),
            (Centred(), lambda w: k.ops.clip(w, -0.01, 0.01)),
            (k.constraints.MinMaxNorm(0.5, 1.0, rate=0.8, axis=0), None),
        ]
        parts = [k.layers.Dense(5, kernel_constraint=kernel, bias_constraint=bias) for kernel, bias in pairs]
        return k.Sequential([k.Input((5,)), *parts, k.layers.Dense(1)])

    model = same(make)
    short, unit, centred = (layer.kernel.numpy() for layer in model.layers[:3])
    biases = [layer.bias.numpy() for layer in model.layers[:3]]
    assert np.linalg.norm(short, axis=0).max() <= 0.7 + 1e-5
    np.testing.assert_allclose(np.linalg.norm(unit, axis=0), 1, rtol=1e-5)
    assert abs(centred.mean()) < 1e-6
    assert biases[0].min() >= 0 and np.linalg.norm(biases[1]) <= 0.1 + 1e-5 and np.abs(biases[2]).max() <= 0.01


def test_training_and_other_arguments() -> None:
    def make(k: Any) -> Any:
        class Doubled(k.layers.Layer):
            def call(self, inputs: Any, factor: float = 2.0, training: Any = None) -> Any:
                return inputs * factor if training else inputs

        class Mixed(k.layers.Layer):
            def __init__(self) -> None:
                super().__init__()
                self.inner, self.dense = Doubled(), k.layers.Dense(1)

            def call(self, a: Any, b: Any = None, *, power: int = 1, training: bool = False) -> Any:
                b = a if b is None else b
                return self.dense(self.inner(a) + self.inner(b, factor=3.0) ** power)

        x = k.Input((5,))
        layer = Mixed()
        return k.Model(x, layer(x, x * 0.5, power=2) + layer(x))

    model = same(make)
    assert not np.allclose(model(X, training=True), model(X))


def test_a_layer_with_moving_statistics() -> None:
    def make(k: Any) -> Any:
        class Standard(k.layers.Layer):
            def build(self, shape: Any) -> None:
                self.mean = self.add_weight(shape=shape[-1:], initializer="zeros", trainable=False, name="mean")
                self.seen = self.add_weight(shape=(), initializer="zeros", trainable=False, name="seen")

            def call(self, x: Any, training: bool = False) -> Any:
                if not training:
                    return x - self.mean
                mean = k.ops.mean(x, axis=0)
                self.mean.assign(0.9 * self.mean + 0.1 * mean)
                self.seen.assign_add(1.0)
                return x - mean

        return k.Sequential([k.Input((5,)), Standard(), k.layers.Dense(1)])

    model = same(make)
    model.fit(X, Y, batch_size=4, epochs=3, verbose=0)
    assert float(model.layers[0].seen) == 8
    model.evaluate(X, Y, verbose=0)
    assert float(model.layers[0].seen) == 8


@pytest.mark.parametrize("when", ["before", "after"])
def test_frozen_parts_at_any_depth(when: str) -> None:
    def make(k: Any) -> Any:
        inner = k.Sequential(
            [k.Input((5,)), k.layers.Dense(4, name="deep"), k.layers.BatchNormalization()], name="inner"
        )

        class Wrapped(k.Model):
            def __init__(self) -> None:
                super().__init__()
                self.part, self.out = inner, k.layers.Dense(1)

            def call(self, x: Any, training: bool = False) -> Any:
                return self.out(self.part(x, training=training))

        return Wrapped()

    def frozen(k: Any) -> Any:
        model = make(k)
        model.part.layers[-2].trainable = False
        return model

    if when == "before":
        model = same(frozen)
        assert len(model.trainable_weights) == 4 and len(model.non_trainable_weights) == 4
        return
    model = make(kg)
    model(X)
    model.compile("sgd", "mse")
    model.part.trainable = False
    kept = model.part.get_weights()
    model.compile("sgd", "mse")
    model.fit(X, Y, verbose=0, epochs=2)
    assert all(np.array_equal(a, b) for a, b in zip(kept, model.part.get_weights(), strict=True))
    model.trainable = False
    assert model.trainable_weights == [] and not model.part.layers[0].trainable


def test_models_inside_functional_graphs() -> None:
    def make(k: Any) -> Any:
        class Pair(k.Model):
            def __init__(self) -> None:
                super().__init__()
                self.left, self.right = linear(k)(3), linear(k)(3)

            def call(self, inputs: Any) -> Any:
                return {"sum": self.left(inputs["a"]) + self.right(inputs["b"]), "a": self.left(inputs["a"])}

        a, b = k.Input((5,), name="a"), k.Input((5,), name="b")
        pair = Pair()
        found = pair({"a": a, "b": b})
        swapped = pair({"a": b, "b": a})
        return k.Model({"a": a, "b": b}, linear(k)(1)(k.ops.tanh(found["sum"] * swapped["a"])))

    same(make, x={"a": X, "b": X[::-1].copy()}, trained=False)
