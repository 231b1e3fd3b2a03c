"""Training written by users: their own losses, steps, optimizers, metrics and layers, traced and compiled."""

from __future__ import annotations

import numpy as np
import pytest

import kgraph as kg
from kgraph import layers, ops

RNG = np.random.default_rng(5)
X = RNG.normal(size=(60, 6)).astype("float32")
Y = (X[:, :1] > 0).astype("float32")


@pytest.fixture(autouse=True)
def same_weights() -> None:
    kg.utils.set_random_seed(4)


class Perceptron(kg.Model):
    def __init__(self, **options):
        super().__init__(**options)
        self.hidden = layers.Dense(8, activation="relu")
        self.norm = layers.BatchNormalization()
        self.drop = layers.Dropout(0.2, seed=3)
        self.out = layers.Dense(1, activation="sigmoid")

    def call(self, x, training=False):
        return self.out(self.drop(self.norm(self.hidden(x)), training=training))


def falls(model, *data, **options) -> list[float]:
    """Train; the loss must fall."""
    losses = model.fit(*data, verbose=0, **{"epochs": 8, "batch_size": 16, **options}).history["loss"]
    assert np.isfinite(losses).all() and losses[-1] < losses[0]
    return losses


def test_a_subclassed_model_with_normalisation_and_dropout():
    model = Perceptron()
    model.compile(kg.optimizers.Adam(0.02), "binary_crossentropy", metrics=["accuracy"])
    before = None if not model.built else model.norm.moving_mean.numpy()
    falls(model, X, Y)
    assert before is None and not np.allclose(model.norm.moving_mean.numpy(), 0)


def test_a_train_step_of_ones_own():
    class Custom(Perceptron):
        def __init__(self):
            super().__init__()
            self.tracker = kg.metrics.Mean(name="loss")
            self.error = kg.metrics.MeanAbsoluteError(name="mae")

        def train_step(self, data):
            x, y = data
            with kg.GradientTape() as tape:
                y_pred = self(x, training=True)
                loss = ops.mean(kg.losses.binary_crossentropy(y, y_pred))
            weights = self.trainable_variables
            self.optimizer.apply_gradients(zip(tape.gradient(loss, weights), weights, strict=True))
            self.tracker.update_state(loss)
            self.error.update_state(y, y_pred)
            return {metric.name: metric.result() for metric in (self.tracker, self.error)}

        @property
        def metrics(self):
            return [self.tracker, self.error]

    model = Custom()
    model.compile(optimizer="adam")
    history = model.fit(X, Y, epochs=5, batch_size=20, verbose=0).history
    assert list(history) == ["loss", "mae"] and history["loss"][-1] < history["loss"][0]


def test_two_networks_trained_against_each_other_in_one_step():
    class Pair(kg.Model):
        def __init__(self):
            super().__init__()
            self.maker = kg.Sequential([layers.Input((2,)), layers.Dense(6)])
            self.judge = kg.Sequential([layers.Input((6,)), layers.Dense(1)])

        def compile(self, maker, judge):
            super().compile()
            self.maker_optimizer, self.judge_optimizer = maker, judge

        def train_step(self, real):
            noise = kg.random.normal((ops.shape(real)[0], 2), seed=1)
            with kg.GradientTape() as tape:
                loss = ops.mean(ops.softplus(self.judge(self.maker(noise)))) + ops.mean(ops.softplus(-self.judge(real)))
            weights = self.judge.trainable_variables
            self.judge_optimizer.apply_gradients(zip(tape.gradient(loss, weights), weights, strict=True))
            with kg.GradientTape() as tape:
                fooled = ops.mean(ops.softplus(-self.judge(self.maker(noise))))
            weights = self.maker.trainable_variables
            self.maker_optimizer.apply_gradients(zip(tape.gradient(fooled, weights), weights, strict=True))
            return {"judge": loss, "maker": fooled}

    model = Pair()
    model.compile(kg.optimizers.Adam(0.01), kg.optimizers.SGD(0.01))
    before = [weight.numpy() for weight in (*model.maker.weights, *model.judge.weights)]
    model.fit(X, epochs=2, verbose=0)
    after = [weight.numpy() for weight in (*model.maker.weights, *model.judge.weights)]
    assert all((a != b).any() for a, b in zip(before, after, strict=True))


def test_one_tower_for_two_questions():
    a, b = layers.Input((7,), dtype="int32"), layers.Input((7,), dtype="int32")
    tower = kg.Sequential([layers.Embedding(9, 4, mask_zero=True), layers.LSTM(5)])
    distance = layers.Lambda(lambda pair: ops.sum(ops.absolute(pair[0] - pair[1]), axis=-1, keepdims=True))
    model = kg.Model([a, b], layers.Dense(1, activation="sigmoid")(distance([tower(a), tower(b)])))
    left, right = RNG.integers(0, 9, (2, 40, 7))
    model.compile(kg.optimizers.Adam(0.02), "binary_crossentropy")
    falls(model, [left, right], (left[:, 0] == right[:, 0]).astype("float32"))


def test_a_loss_written_with_ops():
    def focal(y_true, y_pred):
        y_pred = ops.clip(y_pred, 1e-6, 1 - 1e-6)
        right = ops.where(ops.equal(y_true, 1), y_pred, 1 - y_pred)
        return ops.mean(-((1 - right) ** 2) * ops.log(right), axis=-1)

    model = Perceptron()
    model.compile("rmsprop", focal)
    falls(model, X, Y)


def test_a_loss_and_a_metric_as_classes():
    class Cubed(kg.Loss):
        def call(self, y_true, y_pred):
            return ops.mean(ops.absolute(y_true - y_pred) ** 3, axis=-1)

    class Largest(kg.Metric):
        def __init__(self, name="largest", **options):
            super().__init__(name=name, **options)
            self.value = self.add_variable((), "zeros", name="value")

        def update_state(self, y_true, y_pred, sample_weight=None):
            self.value.assign(ops.maximum(self.value, ops.max(ops.absolute(y_true - y_pred))))

        def result(self):
            return self.value

    model = Perceptron()
    model.compile(kg.optimizers.Adam(0.01), Cubed(), metrics=[Largest()])
    falls(model, X, Y)
    wanted = np.abs(Y - model.predict(X, verbose=0)).max()
    assert model.evaluate(X, Y, verbose=0, return_dict=True)["largest"] == pytest.approx(wanted, rel=1e-5)


def test_an_optimizer_of_ones_own():
    class Sign(kg.Optimizer):
        def __init__(self, learning_rate=0.01, name="sign", **options):
            super().__init__(learning_rate=learning_rate, name=name, **options)

        def build(self, variables):
            super().build(variables)
            self.last = [self.add_variable_from_reference(one, name="last") for one in variables]

        def update_step(self, gradient, variable, learning_rate):
            last = self.last[self._get_variable_index(variable)]
            self.assign(last, 0.5 * last + 0.5 * gradient)
            self.assign_sub(variable, learning_rate * ops.sign(last))

    model = Perceptron()
    model.compile(Sign(), "binary_crossentropy")
    falls(model, X, Y)


def test_a_layer_whose_weight_starts_at_a_thousand():
    class Far(layers.Layer):
        def build(self, shape):
            self.scale = self.add_weight(shape=(), initializer=kg.initializers.Constant(1000.0), name="scale")

        def call(self, x):
            return x * self.scale

    model = kg.Sequential([layers.Input((1,)), Far()])
    model.compile(kg.optimizers.Adam(10.0), "mse")
    x = np.ones((32, 1), "float32")
    falls(model, x, 3 * x, epochs=150)
    assert abs(float(model.layers[0].scale) - 3) < 1


def test_losses_that_layers_and_models_add():
    class Sparse(layers.Layer):
        def call(self, x):
            self.add_loss(0.1 * ops.mean(ops.absolute(x)))
            return x

    model = kg.Sequential([layers.Input((6,)), layers.Dense(4, kernel_regularizer="l2"), Sparse(), layers.Dense(1)])
    model.compile("sgd", "mse")
    loss = model.evaluate(X, Y, verbose=0, batch_size=60)
    hidden = X @ model.layers[0].kernel.numpy() + model.layers[0].bias.numpy()
    wanted = np.mean((Y - model.predict(X, verbose=0)) ** 2) + 0.1 * np.abs(hidden).mean()
    assert loss == pytest.approx(wanted + 0.01 * (model.layers[0].kernel.numpy() ** 2).sum(), rel=1e-4)
    model.compile("sgd")
    falls(model, X)  # no loss but those


def test_a_step_of_ones_own_says_whether_layers_train():
    """As in Keras: without `training=`, each does what the default of its own call says."""

    class Probe(kg.Model):
        def __init__(self):
            super().__init__()
            self.norm = layers.BatchNormalization()
            self.norm.build((None, 6))
            self.told = []

        def call(self, x, training=True):
            self.told.append(training)
            return x

        def train_step(self, data):
            return {"loss": ops.mean(self.norm(data[0]) + self(data[0]))}

        def test_step(self, data):
            return self.train_step(data)

    model = Probe()
    model.compile("sgd")
    model.fit(X, Y, verbose=0)
    model.evaluate(X, Y, verbose=0)
    assert np.array_equal(model.norm.moving_mean, np.zeros(6)) and all(model.told)


def test_a_model_inside_that_was_compiled_itself_keeps_its_metrics_to_itself():
    inner = kg.Sequential([layers.Input((6,)), layers.Dense(1)])
    inner.compile("sgd", "mse", metrics=["mae"])
    inner.fit(X, Y, verbose=0)

    class Student(kg.Model):
        def __init__(self):
            super().__init__()
            self.inner, self.counted = inner, layers.Dense(1)
            self.counted.seen = kg.metrics.Mean(name="seen")

        def call(self, x):
            return self.inner(x) + self.counted(x)

        def compute_loss(self, x=None, y=None, y_pred=None, sample_weight=None, training=True):
            return ops.mean(ops.square(y - y_pred))

    model = Student()
    model.compile("sgd", metrics=["mse"])
    logs = model.fit(X, Y, verbose=0).history
    assert [metric.name for metric in model.metrics] == ["loss", "mse", "seen"]
    assert logs["loss"][0] > 0 and logs["loss"][0] == pytest.approx(logs["mse"][0], rel=1e-5)


def test_frozen_layers_stay_and_what_is_told_at_compile_counts():
    model = kg.Sequential([layers.Input((6,)), layers.Dense(4), layers.Dense(1)])
    model.layers[0].trainable = False
    model.compile("sgd", "mse")
    frozen = model.layers[0].get_weights()
    falls(model, X, Y)
    assert all(np.array_equal(a, b) for a, b in zip(frozen, model.layers[0].get_weights(), strict=True))
    model.layers[0].trainable = True
    model.compile("sgd", "mse")
    model.fit(X, Y, verbose=0)
    assert not np.array_equal(frozen[0], model.layers[0].get_weights()[0])


def test_eager_steps_are_the_compiled_ones():
    found = []
    for eagerly in (False, True):
        model = kg.Sequential([layers.Input((6,)), layers.Dense(4, activation="tanh"), layers.Dense(1)])
        model.set_weights([np.full(one.shape, 0.1, "float32") for one in model.get_weights()])
        model.compile("adam", "mse", metrics=["mae"], run_eagerly=eagerly)
        found.append(model.fit(X, Y, epochs=2, batch_size=20, shuffle=False, verbose=0).history)
    for key, values in found[0].items():
        np.testing.assert_allclose(found[1][key], values, rtol=1e-5)
