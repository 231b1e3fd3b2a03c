"""Whole models in one HDF5 file: written and read by Keras and by kgraph, and refused where they could do harm."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import keras
import numpy as np
import pytest
from exchange import agree, shaken

import kgraph as kg
from kgraph.errors import KGraphError, SavingError
from kgraph.saving import whole

X = np.random.default_rng(0).normal(size=(5, 4)).astype("float32")
Y = np.random.default_rng(1).normal(size=(5, 2)).astype("float32")


def stack(k: Any) -> Any:
    """Layers one after the other, with moving statistics and a frozen layer."""
    frozen = k.layers.Dense(3, trainable=False)
    layers = [k.layers.Dense(6, activation="relu", kernel_regularizer="l2"), k.layers.BatchNormalization(), frozen]
    return k.Sequential([k.Input((4,)), *layers, k.layers.Dropout(0.5), k.layers.Dense(2)])


def branches(k: Any) -> Any:
    """A graph with a model inside, a shared layer, and an op between layers."""
    x = k.Input((4,))
    inner = k.Sequential([k.layers.Dense(3), k.layers.BatchNormalization()])
    h = k.layers.Dense(3)(x)
    h = k.layers.Add()([inner(h), inner(h * 2.0)])
    rows = k.layers.LSTM(2)(k.layers.Reshape((3, 1))(h))
    return k.Model(x, [k.layers.Dense(2)(h), rows])


def words(k: Any) -> Any:
    """Integers in, with masks."""
    x = k.Input((4,), dtype="int32")
    h = k.layers.Bidirectional(k.layers.GRU(3, return_sequences=True))(k.layers.Embedding(7, 4, mask_zero=True)(x))
    return k.Model(x, k.layers.Dense(2)(h))


@pytest.mark.parametrize("build", [stack, branches, words])
def test_models_go_to_keras_and_come_back(build: Callable[[Any], Any], tmp_path: Path) -> None:
    x = np.array([[1, 2, 0, 0], [3, 4, 5, 6]], "int32") if build is words else X
    theirs = shaken(build(keras))
    theirs.save(tmp_path / "theirs.h5")
    ours = kg.models.load_model(tmp_path / "theirs.h5")
    agree(ours, theirs, x)
    own = shaken(build(kg), 3)
    own.save(tmp_path / "ours.h5")
    agree(keras.models.load_model(tmp_path / "ours.h5"), own, x)
    agree(kg.models.load_model(tmp_path / "ours.h5"), own, x, exact=True)
    if build is stack:
        assert [layer.trainable for layer in ours.layers] == [layer.trainable for layer in theirs.layers]


@pytest.mark.parametrize("suffix", [".h5", ".hdf5"])
def test_training_goes_on_where_it_ended(suffix: str, tmp_path: Path) -> None:
    def compiled(k: Any) -> Any:
        model = k.Sequential([k.Input((4,)), k.layers.Dense(3), k.layers.Dense(2)])
        rate = k.optimizers.schedules.ExponentialDecay(0.1, 2, 0.9)
        model.compile(k.optimizers.Adam(rate), "mse" if k is kg else "mean_squared_error", metrics=["mae"])
        return model

    for maker in (keras, kg):
        model = compiled(maker)
        model.fit(X, Y, epochs=2, verbose=0)
        model.save(tmp_path / f"model{suffix}")
        theirs = keras.models.load_model(tmp_path / f"model{suffix}")  # which cannot train on: it forgets the slots
        again = kg.models.load_model(tmp_path / f"model{suffix}")
        assert int(again.optimizer.iterations) == 2
        np.testing.assert_allclose(float(again.optimizer.learning_rate), float(theirs.optimizer.learning_rate))
        losses = [one.fit(X, Y, epochs=2, verbose=0, shuffle=False).history["loss"] for one in (model, again)]
        np.testing.assert_allclose(*losses, rtol=1e-5)
    assert kg.models.load_model(tmp_path / f"model{suffix}", compile=False).compiled is False


def test_losses_and_metrics_come_back(tmp_path: Path) -> None:
    x = keras.Input((4,))
    theirs = keras.Model(x, [keras.layers.Dense(2)(x), keras.layers.Dense(2)(x)])
    theirs.compile("sgd", ["mse", keras.losses.Huber()], metrics=[["mae"], [keras.metrics.MeanSquaredError()]])
    theirs.save(tmp_path / "m.h5")
    ours = kg.models.load_model(tmp_path / "m.h5")
    found = [model.evaluate(X, [Y, Y], verbose=0) for model in (ours, theirs)]
    np.testing.assert_allclose(*found, rtol=1e-5)


def test_a_file_of_keras_2_is_read(tmp_path: Path) -> None:
    dense = {"name": "d", "trainable": True, "batch_input_shape": [None, 4], "dtype": "float32", "units": 2}
    dense |= {"activation": "relu", "use_bias": True, "kernel_initializer": {"class_name": "Zeros", "config": {}}}
    config = {"class_name": "Sequential", "config": [{"class_name": "Dense", "config": dense}]}
    with h5py.File(tmp_path / "old.h5", "w") as store:
        store.attrs["keras_version"] = np.bytes_("2.2.4")
        store.attrs["model_config"] = json.dumps(config).encode()
        group = store.create_group("model_weights/d/d")
        group["kernel:0"], group["bias:0"] = np.ones((4, 2), "float32"), np.full(2, 2.0, "float32")
        store["model_weights"].attrs["layer_names"] = np.array([b"d"])
        store["model_weights/d"].attrs["weight_names"] = np.array([b"d/kernel:0", b"d/bias:0"])
    np.testing.assert_allclose(
        kg.models.load_model(tmp_path / "old.h5")(X), np.maximum(X.sum(-1, keepdims=True) + 2, 0) * [1, 1], rtol=1e-5
    )


def test_weights_alone_are_taken_in_the_order_of_layers(tmp_path: Path) -> None:
    theirs = shaken(stack(keras))
    theirs.save(tmp_path / "m.h5")
    ours = stack(kg)
    ours.load_weights(tmp_path / "m.h5")
    agree(ours, theirs, X)
    other = kg.Sequential([kg.Input((4,)), kg.layers.Dense(6), kg.layers.BatchNormalization()])
    with pytest.raises(SavingError, match="2 layers with weights, and the file 4"):
        other.load_weights(tmp_path / "m.h5")


def test_weights_that_do_not_fit_are_refused_before_anything_is_written(tmp_path: Path) -> None:
    kg.Sequential([kg.Input((4,)), kg.layers.Dense(3), kg.layers.Dense(2)]).save(tmp_path / "m.h5")
    model = kg.Sequential([kg.Input((4,)), kg.layers.Dense(3), kg.layers.Dense(5)])
    before = model.get_weights()
    with pytest.raises(SavingError, match=r"shape \(3, 5\), and the file \(3, 2\)"):
        model.load_weights(tmp_path / "m.h5")
    np.testing.assert_array_equal(model.get_weights()[0], before[0])
    with pytest.warns(UserWarning, match="left as they were"):
        model.load_weights(tmp_path / "m.h5", skip_mismatch=True)
    assert not np.array_equal(model.get_weights()[0], before[0])


def test_models_that_no_configuration_builds_are_refused(tmp_path: Path) -> None:
    class Written(kg.Model):
        def call(self, x: Any) -> Any:
            return x

    model = Written()
    model(X)
    for one in (model, kg.Sequential([kg.layers.Dense(2)])):
        with pytest.raises(SavingError, match=r"save it as \.keras"):
            one.save(tmp_path / "m.h5")
    assert list(tmp_path.iterdir()) == []


def test_many_layers_and_names_that_clash_are_written(tmp_path: Path) -> None:
    class Clashing(kg.layers.Layer):
        def build(self, input_shape: Any) -> None:
            for name in ("w", "w", "w.more"):
                self.add_weight(shape=(2,), name=name, initializer="ones")

        def call(self, x: Any) -> Any:
            return x * sum(weight[0] for weight in self.weights)

    many = [kg.layers.Identity(name=f"{'very_' * 20}long_{number}") for number in range(700)]
    model = shaken(kg.Sequential([kg.Input((4,)), *many, Clashing()]))
    model.save(tmp_path / "m.h5")
    again = kg.models.load_model(tmp_path / "m.h5", custom_objects={"Clashing": Clashing})
    agree(again, model, X, exact=True)
    with h5py.File(tmp_path / "m.h5") as store:
        assert "layer_names1" in store["model_weights"].attrs
        assert whole.names_in(store["model_weights"], "layer_names") == [layer.name for layer in model.layers]


def harmed(tmp_path: Path, change: Callable[[Any], Any]) -> Path:
    """A file with something changed in it."""
    model = kg.Sequential([kg.Input((4,)), kg.layers.Dense(3, name="dense")], name="m")
    model.save(tmp_path / "m.h5")
    with h5py.File(tmp_path / "m.h5", "r+") as store:
        change(store)
    return tmp_path / "m.h5"


def with_link(store: Any) -> None:
    del store["model_weights/dense/m/dense/kernel"]
    store["model_weights/dense/m/dense/kernel"] = h5py.ExternalLink("other.h5", "/secret")


def with_large(store: Any) -> None:
    del store["model_weights/dense/m/dense/kernel"]
    store.create_dataset("model_weights/dense/m/dense/kernel", (1 << 20, 1 << 20), "float32", chunks=(1024, 1024))


def with_class(store: Any) -> None:
    config = json.loads(store.attrs["model_config"])
    config["config"]["layers"][1]["class_name"], config["config"]["layers"][1]["module"] = "Popen", "subprocess"
    store.attrs["model_config"] = json.dumps(config)


def with_size(store: Any) -> None:
    config = json.loads(store.attrs["model_config"])
    config["config"]["layers"][1]["config"]["units"] = 1 << 40
    store.attrs["model_config"] = json.dumps(config)


CHANGES = {
    "link": (with_link, "link to elsewhere"),
    "large": (with_large, "made to fill the memory"),
    "class": (with_class, "nothing is imported"),
    "size": (with_size, None),
    "no config": (lambda store: store.attrs.__delitem__("model_config"), "no model_config"),
    "no JSON": (lambda store: store.attrs.__setitem__("model_config", "{"), "no JSON"),
    "a number": (lambda store: store.attrs.__setitem__("model_config", 3), "no text"),
    "no weights": (lambda store: store.__delitem__("model_weights"), "has no 'model_weights'"),
    "no layer": (lambda store: store["model_weights"].__delitem__("dense"), "has no 'dense'"),
    "names": (lambda store: store["model_weights/dense"].attrs.__delitem__("weight_names"), "the file 0"),
    "upwards": (lambda store: store["model_weights"].attrs.__setitem__("layer_names", ["../dense"]), "has no"),
}


@pytest.mark.parametrize("change", CHANGES)
def test_harmed_files_are_refused(change: str, tmp_path: Path) -> None:
    path = harmed(tmp_path, CHANGES[change][0])
    with pytest.raises(KGraphError if change == "size" else SavingError, match=CHANGES[change][1]):
        kg.models.load_model(path)


def test_a_file_that_is_cut_off_is_refused(tmp_path: Path) -> None:
    path = harmed(tmp_path, lambda store: None)
    path.write_bytes(path.read_bytes()[:-900])
    with pytest.raises(SavingError):
        kg.models.load_model(path)
