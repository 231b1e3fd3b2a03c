"""In which order `evaluate` gives what was measured."""

from __future__ import annotations

import keras
import numpy as np
import pytest

import kgraph as kg
from kgraph.errors import ArgumentError

rng = np.random.default_rng(2)
X, Z, A = (rng.random((6, size)).astype(np.float32) for size in (3, 2, 1))


def two_outputs(as_dict: bool) -> kg.Model:
    i = kg.Input((3,))
    outputs = [kg.layers.Dense(2, name="z")(i), kg.layers.Dense(1, name="a")(i)]
    return kg.Model(i, dict(zip("za", outputs, strict=True)) if as_dict else outputs)


def test_the_metrics_of_one_output_come_as_they_were_given():
    model = kg.Sequential([kg.Input((3,)), kg.layers.Dense(1)])
    model.compile("sgd", "mse", metrics=["mse", "mae"], weighted_metrics=["mape"])
    model.evaluate(X, A, verbose=0)
    assert model.metrics_names == ["loss", "mse", "mae", "mape"]


def test_the_metrics_of_several_outputs_come_by_name_after_the_losses_as_in_keras():
    model = two_outputs(as_dict=False)
    model.compile("sgd", "mse", metrics={"z": ["mse", "mae"], "a": ["mae"]})
    values = model.evaluate(X, [Z, A], verbose=0)
    assert model.metrics_names == ["loss", "z_loss", "a_loss", "a_mae", "z_mae", "z_mse"]
    named = model.evaluate(X, [Z, A], verbose=0, return_dict=True)
    np.testing.assert_allclose(values, [named[name] for name in model.metrics_names])


def test_the_losses_of_a_dict_of_outputs_come_in_the_order_in_which_they_were_given():
    for given in ({"z": "mse", "a": "mae"}, {"a": "mae", "z": "mse"}):
        model = two_outputs(as_dict=True)
        model.compile("sgd", given)
        model.evaluate(X, {"z": Z, "a": A}, verbose=0)
        assert model.metrics_names == ["loss", *(f"{name}_loss" for name in given)]


@pytest.mark.parametrize("weighted", [None, ["mse"], ["mse", "mse"], ["mae", "mae", "mse"]])
@pytest.mark.parametrize("as_dict", [False, True])
def test_what_is_measured_twice_has_names_as_in_keras(as_dict, weighted):
    def named(library, data):
        i = library.Input((3,))
        outputs = [library.layers.Dense(size, name=name)(i) for name, size in (("z", 2), ("a", 1))]
        model = library.Model(i, dict(zip("za", outputs, strict=True)) if as_dict else outputs)
        both = library.metrics.MeanSquaredError(name="both")
        plain = {"z": ["mse", "mse", both, library.metrics.MeanSquaredError(name="mse")], "a": [both]}
        model.compile("sgd", "mse", metrics=plain, weighted_metrics=weighted and {"z": weighted})
        return set(model.train_on_batch(X, data, return_dict=True))

    data = {"z": Z, "a": A} if as_dict else [Z, A]
    assert named(kg, data) == named(keras, data)


def test_metrics_measure_again_under_the_same_names():
    mine = kg.metrics.MeanSquaredError()
    for _ in range(2):
        model = two_outputs(as_dict=False)
        model.compile("sgd", "mse", metrics={"z": [mine], "a": ["mae"]})
        found = model.train_on_batch(X, [Z, A], return_dict=True)
        assert list(found) == ["loss", "z_loss", "a_loss", "a_mae", "z_mean_squared_error"]
        assert mine.name == "mean_squared_error"
        assert {metric.name for metric in model.metrics} >= {"a_mae", "mean_squared_error"}


def test_a_metric_may_give_the_value_of_its_variable():
    class Ones(kg.metrics.Metric):
        def __init__(self):
            super().__init__(name="ones")
            self.count = self.add_weight(name="count", initializer="zeros", shape=())

        def update_state(self, y_true, y_pred, sample_weight=None):
            right = kg.ops.cast(y_true, "int32") == kg.ops.cast(kg.ops.argmax(y_pred, axis=1), "int32")
            self.count.assign_add(kg.ops.sum(kg.ops.cast(right, "float32")))

        def result(self):
            return self.count.value

    model = kg.Sequential([kg.Input((3,)), kg.layers.Dense(4, activation="softmax")])
    model.compile("sgd", "sparse_categorical_crossentropy", metrics=[Ones()])
    labels = np.array([0, 1, 2, 3, 0, 1])
    found = model.evaluate(X, labels, batch_size=4, verbose=0, return_dict=True)["ones"]
    assert found == (model.predict(X, verbose=0).argmax(1) == labels).sum()


def test_functions_are_called_in_the_logs_as_in_keras():
    def MeanGap(y_true, y_pred):
        return kg.ops.mean(y_true - y_pred, axis=-1)

    model = kg.Sequential([kg.Input((3,)), kg.layers.Dense(2)])
    model.compile("sgd", "mse", metrics=[MeanGap, lambda y, p: kg.ops.mean(p, axis=-1), "MSE"])
    assert list(model.evaluate(X, Z, verbose=0, return_dict=True)) == ["loss", "mean_gap", "lambda", "MSE"]


def test_a_metric_with_a_number_for_each_class_is_an_array_in_the_logs_as_in_keras():
    found = []
    for k in (kg, keras):
        model = k.Sequential([k.Input((3,)), k.layers.Dense(2, activation="sigmoid")])
        model.set_weights([np.array([[1, -1], [-1, 2], [0.5, -0.5]], np.float32), np.zeros(2, np.float32)])
        model.compile("sgd", "mse", metrics=[k.metrics.F1Score(threshold=0.5)])
        history = model.fit(X, (Z > 0.5).astype(np.float32), batch_size=4, epochs=2, verbose=0, shuffle=False)
        found.append([*history.history["f1_score"], model.evaluate(X, (Z > 0.5).astype(np.float32), verbose=0)[1]])
    ours, theirs = found
    assert [np.shape(one) for one in ours] == [(2,)] * 3
    np.testing.assert_allclose(ours, theirs, rtol=1e-5)


@pytest.mark.parametrize("weights", [[None, None], [None, A[:, 0]], [A[:, 0], None]])
def test_some_outputs_or_all_may_have_no_weights_as_in_keras(weights):
    found = []
    for k in (kg, keras):
        i = k.Input((3,))
        outputs = [k.layers.Dense(size, kernel_initializer="ones", name=name)(i) for name, size in (("z", 2), ("a", 1))]
        model = k.Model(i, outputs)
        model.compile("sgd", "mse", weighted_metrics=[["mae"], ["mae"]])
        found.append(model.evaluate(X, [Z, A], sample_weight=weights, batch_size=4, verbose=0, return_dict=True))
    ours, theirs = found
    assert ours == pytest.approx(theirs, rel=1e-5)


def a_dict_of_lists(k):
    i, dense = k.Input((3,)), k.layers.Dense
    ones = [dense(size, kernel_initializer="ones", name=name)(i) for name, size in (("p", 1), ("q", 1), ("r", 2))]
    return k.Model(i, {"one": ones[0], "more": ones[1:]})


@pytest.mark.parametrize("options", [
    {"loss": "mse"},
    {"loss": {"one": "mse", "more": ["mae", "mse"]}},
    {"loss": {"one": "mse", "more": ["mae", "mse"]}, "loss_weights": {"one": 2.0, "more": [0.5, 1.0]}},
    {"loss": "mse", "metrics": {"one": ["mae"], "more": [["mse"], ["mae", "mse"]]}},
])  # fmt: skip
def test_outputs_in_nests_are_trained_and_measured_as_in_keras(options):
    found = []
    for k in (kg, keras):
        model = a_dict_of_lists(k)
        model.compile(k.optimizers.SGD(0.1), **options)
        history = model.fit(X, {"one": A, "more": [A, Z]}, epochs=2, batch_size=4, shuffle=False, verbose=0).history
        found.append({name: np.asarray(values) for name, values in history.items()})
    ours, theirs = found
    assert ours.keys() == theirs.keys()
    for name, values in ours.items():
        np.testing.assert_allclose(values, theirs[name], rtol=1e-4)


def test_a_nest_that_no_outputs_have_is_an_error():
    model = a_dict_of_lists(kg)
    model.compile("sgd", {"one": "mse", "many": ["mae", "mse"]})
    with pytest.raises(ArgumentError, match="'many' is no output"):
        model.train_on_batch(X, {"one": A, "more": [A, Z]})
