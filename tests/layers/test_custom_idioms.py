"""Layers as users write them, by Keras's documentation: computed at once, compiled and trained, beside Keras."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import keras
import numpy as np
import pytest

import kgraph as kg
from kgraph.errors import ArgumentError, DTypeError, GraphError, NotTracedError, ShapeError
from kgraph.layers.naming import forget_names

pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")
RNG = np.random.default_rng(0)
X = RNG.normal(size=(8, 5)).astype("float32")
Y = RNG.normal(size=(8, 1)).astype("float32")


@pytest.fixture(autouse=True)
def fresh_names() -> None:
    forget_names()


def same(make: Callable[[Any], Any], x: Any = X, y: Any = Y, trained: bool = True) -> Any:
    """Make a model in both, and hold together what it computes at once, compiled, and what training makes of it."""
    ours, theirs = make(kg), make(keras)
    ours(x), theirs(x)
    ours.set_weights(theirs.get_weights())
    tolerance = {"rtol": 2e-4, "atol": 2e-5}
    wanted = keras.tree.map_structure(np.asarray, theirs(x))
    np.testing.assert_allclose(ours(x), wanted, **tolerance)
    np.testing.assert_allclose(ours.predict(x, verbose=0), wanted, **tolerance)
    ours.set_weights(theirs.get_weights())
    assert [one.shape for one in ours.trainable_variables] == [one.shape for one in theirs.trainable_variables]
    if trained:
        for model, k in ((ours, kg), (theirs, keras)):
            model.compile(k.optimizers.SGD(0.1), "mse")
        for _ in range(2):
            np.testing.assert_allclose(ours.train_on_batch(x, y), float(theirs.train_on_batch(x, y)), **tolerance)
    for own, his in zip(ours.get_weights(), theirs.get_weights(), strict=True):
        np.testing.assert_allclose(own, his, **tolerance)
    return ours


def linear(k: Any) -> type:
    """The layer that every guide begins with."""

    class Linear(k.layers.Layer):
        def __init__(self, units: int = 4, rate: float = 0.0, **options: Any) -> None:
            super().__init__(**options)
            self.units, self.rate = units, rate

        def build(self, input_shape: Any) -> None:
            self.w = self.add_weight(
                shape=(input_shape[-1], self.units), initializer="random_normal", trainable=True, name="w"
            )
            self.b = self.add_weight(shape=(self.units,), initializer="zeros", trainable=True, name="b")

        def call(self, inputs: Any) -> Any:
            if self.rate:
                self.add_loss(self.rate * k.ops.mean(k.ops.square(inputs)))
            return k.ops.matmul(inputs, self.w) + self.b

        def compute_output_shape(self, input_shape: Any) -> Any:
            return (*input_shape[:-1], self.units)

        def get_config(self) -> Any:
            return {**super().get_config(), "units": self.units, "rate": self.rate}

    return Linear


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


def test_a_layer_that_says_its_output_spec() -> None:
    class Counted(kg.layers.Layer):
        def call(self, x: Any) -> Any:
            return kg.ops.sum(kg.ops.cast(x > 0, "int32"), axis=-1)

        def compute_output_spec(self, x: Any) -> Any:
            return kg.KerasTensor(x.shape[:-1], dtype="int32")

    y = Counted()(kg.Input((5,)))
    assert (y.shape, y.dtype) == ((None,), "int32")
    spec = Counted().compute_output_spec(kg.KerasTensor((None, 5), "float32", name="x"))
    assert (spec.shape, spec.dtype) == ((None,), "int32")
    shown = kg.layers.Dense(3).compute_output_spec(kg.KerasTensor((2, 7)))
    assert (shown.shape, shown.dtype) == ((2, 3), "float32")


@pytest.mark.parametrize(
    ("options", "fits", "wrong"),
    [
        ({"ndim": 2}, [(3, 5)], [(3,), (3, 5, 1)]),
        ({"min_ndim": 2, "max_ndim": 3}, [(3, 5), (3, 5, 1)], [(3,), (3, 5, 1, 1)]),
        ({"shape": (None, 5)}, [(3, 5)], [(3, 4), (3,), (3, 5, 1)]),
        ({"axes": {1: 5, -1: 2}}, [(3, 5, 2), (1, 5, 7, 2)], [(3, 4, 2), (3, 5)]),
        ({"axes": {1: None}}, [(3, 4)], []),
        ({"shape": (None, 5), "allow_last_axis_squeeze": True}, [(3, 5), (3, 5, 1)], [(3, 5, 2), (3, 4), (3, 5, 1, 1)]),
        ({"shape": (None, 5, 1), "allow_last_axis_squeeze": True}, [(3, 5, 1), (3, 5)], [(3, 5, 2), (3,)]),
        ({"ndim": 2, "allow_last_axis_squeeze": True}, [(3, 5), (3, 5, 1)], [(3, 5, 2), (3, 5, 1, 1)]),
    ],
)
def test_what_an_input_must_be(options: Any, fits: Any, wrong: Any) -> None:
    layer = kg.layers.Identity()
    layer.input_spec = kg.InputSpec(**options)
    for shape in fits:
        layer(np.zeros(shape, "float32"))
        layer(kg.Input(batch_shape=shape))
    for shape in wrong:
        for value in (np.zeros(shape, "float32"), kg.Input(batch_shape=shape)):
            with pytest.raises(ShapeError, match=r"layer 'identity' .*expected .*found"):
                layer(value)


def test_specs_of_several_inputs() -> None:
    class Both(kg.layers.Layer):
        def __init__(self) -> None:
            super().__init__(name="both")
            self.input_spec = [kg.InputSpec(ndim=2, dtype="float32"), kg.InputSpec(axes={-1: 3}, dtype="int32")]

        def call(self, inputs: Any) -> Any:
            return inputs[0] + kg.ops.cast(inputs[1], "float32")

    layer, counts = Both(), np.ones((8, 3), "int32")
    assert layer([X[:, :3], counts]).shape == (8, 3)
    with pytest.raises(DTypeError, match=r"input 1 of layer 'both' .*expected dtype=int32, found dtype=float32"):
        layer([X[:, :3], X[:, :3]])
    with pytest.raises(ShapeError, match="expects 2 input"):
        layer([X])
    spec = kg.InputSpec(shape=(None, 3), dtype="float32", axes={1: 3})
    assert kg.InputSpec.from_config(spec.get_config()).get_config() == spec.get_config()
    assert "shape=(None, 3)" in repr(spec)
    with pytest.raises(ValueError, match="axis 2"):
        kg.InputSpec(ndim=2, axes={2: 5})


def masked(k: Any) -> Any:
    """Layers that pass masks on, change them, take them, or lose them."""

    class Keep(k.layers.Layer):
        def __init__(self, **options: Any) -> None:
            super().__init__(**options)
            self.supports_masking = True

        def call(self, x: Any) -> Any:
            return x * 2.0

    class EverySecond(k.layers.Layer):
        def call(self, x: Any) -> Any:
            return x[:, ::2]

        def compute_mask(self, x: Any, mask: Any = None) -> Any:
            return None if mask is None else mask[:, ::2]

    class Average(k.layers.Layer):
        def compute_mask(self, x: Any, mask: Any = None) -> Any:
            return None

        def call(self, x: Any, mask: Any = None) -> Any:
            if mask is None:
                return k.ops.mean(x, axis=1)
            seen = k.ops.expand_dims(k.ops.cast(mask, x.dtype), -1)
            return k.ops.sum(x * seen, axis=1) / (k.ops.sum(seen, axis=1) + 1e-6)

    class Lose(k.layers.Layer):
        def call(self, x: Any) -> Any:
            return x + 1.0

    return Keep, EverySecond, Average, Lose


WORDS = RNG.integers(0, 6, (8, 7)).astype("int32")


def test_masks_through_layers_into_a_recurrent_one() -> None:
    def make(k: Any) -> Any:
        Keep, EverySecond, Average, _ = masked(k)
        x = k.Input((7,), dtype="int32")
        words = Keep()(k.layers.Embedding(6, 4, mask_zero=True)(x))
        parts = [Average()(words), k.layers.SimpleRNN(3)(EverySecond()(words))]
        return k.Model(x, k.layers.Dense(1)(k.layers.Concatenate()(parts)))

    same(make, x=WORDS, trained=False)


def test_masks_reach_losses_and_metrics() -> None:
    def make(k: Any) -> Any:
        Keep, *_ = masked(k)
        x = k.Input((7,), dtype="int32")
        return k.Model(x, k.layers.Dense(2)(Keep()(k.layers.Embedding(6, 4, mask_zero=True)(x))))

    y = RNG.normal(size=(8, 7, 2)).astype("float32")
    ours, theirs = make(kg), make(keras)
    ours.set_weights(theirs.get_weights())
    found = []
    for model, k in ((ours, kg), (theirs, keras)):
        model.compile("sgd", "mse", metrics=["mae"], weighted_metrics=[k.metrics.MeanSquaredError(name="weighed")])
        found.append(model.evaluate(WORDS, y, verbose=0, return_dict=True))
    for key, value in found[1].items():
        assert found[0][key] == pytest.approx(value, rel=1e-4), key
    plain = np.mean((y - ours.predict(WORDS, verbose=0)) ** 2)
    assert abs(found[0]["loss"] - plain) > 1e-3


def test_a_layer_that_cannot_take_a_mask_says_so() -> None:
    *_, Lose = masked(kg)
    x = kg.layers.Masking()(kg.Input((7, 4)))
    with pytest.warns(UserWarning, match="'lose' .*does not support masking"):
        y = Lose()(x)
    assert y.mask is None
    assert kg.layers.Dense(2)(x).mask is not None


def test_functions_as_layers() -> None:
    def make(k: Any) -> Any:
        def shifted(x: Any, by: float, training: bool = False) -> Any:
            return x + by if training else x - by

        x = k.Input((5,))
        y = k.layers.Lambda(lambda x: k.ops.concatenate([x, -x], axis=-1), output_shape=(10,))(x)
        y = k.layers.Lambda(shifted, arguments={"by": 0.3})(k.layers.Dense(4)(y))
        a, b = k.layers.Lambda(lambda x: [x[:, :2], x[:, 2:]], output_shape=[(2,), (2,)])(y)
        return k.Model(x, k.layers.Dense(1)(k.layers.Lambda(lambda pair: pair[0] * pair[1])([a, b])))

    model = same(make, trained=False)
    assert model.layers[1].compute_output_shape((None, 5)) == (None, 10)


def test_functions_as_layers_and_masks() -> None:
    x = kg.layers.Masking()(kg.Input((7, 4)))
    half = kg.layers.Lambda(lambda x: x[:, :3], mask=lambda x, mask: mask[:, :3])(x)
    assert half.mask.shape == (None, 3)
    steps = kg.Input((7, 4))
    given = RNG.normal(size=(2, 7, 4)).astype("float32") * (RNG.random((2, 7, 1)) > 0.4)
    layer = kg.layers.Lambda(lambda x, mask: kg.ops.where(mask[..., None], x, -1.0), mask=lambda x, mask: mask)
    model = kg.Model(steps, layer(kg.layers.Masking()(steps)))
    wanted = np.where(given.any(-1, keepdims=True), given, -1).astype("float32")
    np.testing.assert_allclose(model.predict(given, verbose=0), wanted)
    for wrong in (None, 3, "no such function"):
        with pytest.raises((ArgumentError, TypeError), match="Lambda wants a function"):
            kg.layers.Lambda(wrong)


def test_python_decides_by_shapes_and_flags() -> None:
    def make(k: Any) -> Any:
        class Deciding(k.layers.Layer):
            def __init__(self, deep: bool, **options: Any) -> None:
                super().__init__(**options)
                self.deep, self.inner = deep, k.layers.Dense(5)

            def call(self, x: Any, training: bool = False) -> Any:
                for _ in range(2 if self.deep and x.shape[-1] == 5 else 1):
                    x = self.inner(x)
                if len(x.shape) == 3:
                    x = x[:, 0]
                return x * 2.0 if training else x

        return k.Sequential([k.Input((5,)), Deciding(True), Deciding(False), k.layers.Dense(1)])

    same(make, trained=False)


def branching(x: Any) -> Any:
    return x if kg.ops.sum(x) > 0 else -x


def looping(x: Any) -> Any:
    while kg.ops.max(x) > 1:
        x = x / 2
    return x


def both(x: Any) -> Any:
    return x * (kg.ops.min(x) > 0 and kg.ops.max(x) < 1)


def counting(x: Any) -> Any:
    for _ in range(kg.ops.cast(x[0, 0], "int32")):
        x = x + 1
    return x


def as_number(x: Any) -> Any:
    return x * float(kg.ops.max(x))


def rowwise(x: Any) -> Any:
    return kg.ops.stack([row * 2 for row in x])


@pytest.mark.parametrize("call", [branching, looping, both, counting, as_number, rowwise])
@pytest.mark.parametrize("eager", [False, True])
def test_python_cannot_decide_by_values(call: Any, eager: bool) -> None:
    class Deciding(kg.layers.Layer):
        def call(self, x: Any) -> Any:
            return call(x)

    with pytest.raises(NotTracedError) as error:
        Deciding(name="deciding")(X if eager else kg.Input((5,)))
    text = "\n".join([str(error.value), *error.value.__notes__])
    for name in ("ops.where", "ops.cond", "ops.while_loop", "ops.fori_loop", "ops.scan", "ops.map"):
        assert name in text
    assert "test_custom_idioms.py:" in text and "deciding" in text


def test_values_decide_by_ops() -> None:
    def make(k: Any) -> Any:
        class Deciding(k.layers.Layer):
            def call(self, x: Any) -> Any:
                total = k.ops.sum(x)
                x = k.ops.cond(total > 0, lambda: x * 2.0, lambda: x - 1.0)
                x = k.ops.fori_loop(0, 3, lambda i, y: k.ops.tanh(y) + 0.1, x)
                _, x = k.ops.while_loop(lambda i, y: i < 2, lambda i, y: (i + 1, y * 1.5), (0, x))
                return k.ops.where(x > 0, x, 0.2 * x)

        return k.Sequential([k.Input((5,)), k.layers.Dense(4), Deciding(), k.layers.Dense(1)])

    model = make(kg)
    model.compile("sgd", "mse")
    np.testing.assert_allclose(model.predict(X, verbose=0), model(X), rtol=1e-5, atol=1e-6)
    theirs = make(keras)
    theirs.set_weights(model.get_weights())
    np.testing.assert_allclose(model(X), np.asarray(theirs(X)), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("options", [{"sparse": True}, {"ragged": True}, {"tensor": X}])
def test_inputs_that_are_refused(options: Any) -> None:
    with pytest.raises(ArgumentError, match=f"{next(iter(options))}.* not supported"):
        kg.Input((5,), **options)


def test_channels_first_is_honoured() -> None:
    x = RNG.normal(size=(2, 3, 8, 8)).astype("float32")

    def make(k: Any) -> Any:
        k.config.set_image_data_format("channels_first")
        try:
            parts = [k.layers.Conv2D(4, 3), k.layers.MaxPooling2D(), k.layers.GlobalAveragePooling2D()]
            return k.Sequential([k.Input((3, 8, 8)), *parts, k.layers.Dense(1)])
        finally:
            k.config.set_image_data_format("channels_last")

    model = make(kg)
    assert [layer.output.shape for layer in model.layers] == [(None, 4, 6, 6), (None, 4, 3, 3), (None, 4), (None, 1)]
    wide = kg.Sequential([kg.Input((8, 8, 3)), kg.layers.Conv2D(4, 3), kg.layers.MaxPooling2D()])
    wide.layers[0].set_weights(model.layers[0].get_weights())
    found = kg.Model(model.inputs, model.layers[1].output).predict(x, verbose=0)
    np.testing.assert_allclose(
        found, np.moveaxis(wide.predict(np.moveaxis(x, 1, -1), verbose=0), -1, 1), rtol=1e-4, atol=1e-5
    )


def test_double_precision_is_honoured() -> None:
    kg.config.set_floatx("float64")
    try:
        model = kg.Sequential([kg.Input((5,)), linear(kg)(1)])
        model.compile(kg.optimizers.SGD(momentum=0.9), "mse")
        model.fit(X, Y, verbose=0)
        assert {weight.dtype for weight in model.weights} == {"float64"}
        assert {one.dtype for one in model.optimizer.variables[1:]} == {"float64"}
        assert model.input.dtype == model.output.dtype == "float64"
        assert model.predict(X, verbose=0).dtype == model(X).dtype == np.float64
    finally:
        kg.config.set_floatx("float32")


def test_what_goes_wrong_in_a_layer_of_ones_own_is_said() -> None:
    class Forgetful(kg.layers.Layer):
        def __init__(self) -> None:
            pass

        def call(self, x: Any) -> Any:
            return x

    with pytest.raises(GraphError, match=r"Forgetful must call super\(\).__init__\(\)"):
        Forgetful()(X)
    x = kg.Input((5,))
    model = kg.Model(x, kg.layers.Dense(1)(x))
    with pytest.raises(GraphError, match="add_loss takes a symbol only inside `call`"):
        model.add_loss(kg.ops.mean(x))
    with pytest.raises(DTypeError, match="wants a tensor and got 'text'"):
        kg.layers.Lambda(lambda x: x)("text")
    with pytest.raises(NotTracedError, match="instead of numpy on it"):
        kg.layers.Lambda(lambda x: np.asarray(x) * 2)(x)


def test_masks_given_by_hand_and_calls_of_any_arguments() -> None:
    class Kept(kg.layers.Layer):
        def call(self, x: Any, mask: Any = None) -> Any:
            return x if mask is None else x * kg.ops.cast(mask[..., None], x.dtype)

    class Anything(kg.layers.Layer):
        def build(self, *_: Any, **__: Any) -> None:
            self.w = self.add_weight(shape=(5, 2), initializer="ones")

        def call(self, *args: Any, **kwargs: Any) -> Any:
            return args[0] @ self.w

    steps, mask = np.ones((1, 3, 2), "float32"), np.array([[True, False, True]])
    np.testing.assert_array_equal(Kept()(steps, mask=mask)[0, :, 0], [1, 0, 1])
    layer = Anything()
    assert layer(X).shape == (8, 2)
    assert (layer.dtype, layer.variable_dtype, layer.compute_dtype, layer.input_dtype) == ("float32",) * 4


def test_a_call_that_returns_nothing_is_told():
    class Forgetful(kg.layers.Layer):
        def call(self, x):
            x * 2

    for given in (kg.Input((3,)), np.ones((2, 3), np.float32)):
        with pytest.raises(DTypeError, match=r"`call` of layer 'forgetful.*returned None, and no tensor"):
            Forgetful()(given)


def test_set_weights_wants_a_list():
    with pytest.raises(ArgumentError, match="set_weights wants a list of arrays, not 3"):
        kg.layers.Dense(2).set_weights(3)


def test_weights_of_a_layer_that_is_not_built_are_asked_for_in_vain():
    with pytest.raises(AttributeError, match=r"Dense 'd' has no attribute 'kernel', and no weights yet.*layer\.build"):
        kg.layers.Dense(2, name="d").kernel  # noqa: B018
    with pytest.raises(AttributeError, match="never been called"):
        kg.layers.Dense(2).output  # noqa: B018
    layer = kg.layers.Dense(2)
    layer.build((None, 3))
    with pytest.raises(AttributeError, match="object has no attribute 'kernl'"):
        layer.kernl  # noqa: B018
    assert not hasattr(kg.layers.Dense(2), "kernel")


def test_unknown_classes_are_told_with_near_names_or_how_to_make_them_known():
    with pytest.raises(ArgumentError, match="did you mean 'Dense'"):
        kg.layers.deserialize({"class_name": "Dnse", "config": {}})
    with pytest.raises(ArgumentError, match=r"custom_objects=.*'Zzyzx'"):
        kg.layers.deserialize({"class_name": "Zzyzx", "config": {}})
    with pytest.raises(ArgumentError, match="lr is learning_rate"):
        kg.optimizers.Adam(lr=0.1)
    with pytest.raises(ArgumentError, match="clone_model wants a model, not 3"):
        kg.models.clone_model(3)
