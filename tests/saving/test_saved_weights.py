"""Weights in files: .weights.h5, .safetensors and .keras, and what happens where they do not fit."""

import sys
from pathlib import Path
from typing import Any

import h5py
import keras
import numpy as np
import pytest
import safetensors.numpy
from exchange import agree, shaken

import kgraph as kg
from kgraph.errors import MissingExtraError, SavingError
from kgraph.saving.state import places

X = np.ones((2, 4), "float32")


def block_of(k: Any) -> Any:
    """A layer with layers in every place that Keras looks into."""

    class Block(k.layers.Layer):
        def __init__(self) -> None:
            super().__init__()
            self.last = k.layers.Dense(4)
            self.pair = [k.layers.Dense(4), (k.layers.Dense(4), {"deep": k.layers.Dense(4)})]
            self.table = {"b": k.layers.Dense(4), "a": k.layers.BatchNormalization()}
            self._hidden = k.layers.Dense(4)
            self.again = self.last

        def build(self, input_shape: Any) -> None:
            self.scale = self.add_weight(shape=(4,), name="scale")
            self.offset = self.add_weight(shape=(4,), name="offset", trainable=False)

        def call(self, x: Any) -> Any:
            x = self.pair[0](x) * self.scale + self.offset
            x = self.pair[1][1]["deep"](self.pair[1][0](x))
            return self._hidden(self.last(self.table["a"](self.table["b"](x))))

    return Block()


def with_block(k: Any) -> Any:
    x = k.Input((4,))
    return k.Model(x, block_of(k)(k.layers.Dense(4)(x)))


def test_layers_within_layers_are_where_keras_looks_for_them(tmp_path: Path) -> None:
    ours, theirs = with_block(kg), with_block(keras)
    shaken(ours).save_weights(tmp_path / "ours.weights.h5")
    theirs.load_weights(tmp_path / "ours.weights.h5")
    agree(ours, theirs, X)
    shaken(theirs, 5).save_weights(tmp_path / "theirs.weights.h5")
    ours.load_weights(tmp_path / "theirs.weights.h5")
    agree(ours, theirs, X)
    names: list[list[str]] = [[], []]
    for found, path in zip(names, ("ours.weights.h5", "theirs.weights.h5"), strict=True):
        with h5py.File(tmp_path / path) as file:
            file.visititems(lambda name, one, f=found: f.append(name) if isinstance(one, h5py.Dataset) else None)
    assert sorted(names[0]) == sorted(names[1])


def model(units: int = 3, name: str | None = None) -> Any:
    layers = [kg.Input((4,)), kg.layers.Dense(units, name=name), kg.layers.BatchNormalization(), kg.layers.Dense(2)]
    return kg.Sequential(layers)


@pytest.mark.parametrize("name", ["m.weights.h5", "m.safetensors", "m.keras"])
def test_weights_come_back_as_they_were(name: str, tmp_path: Path) -> None:
    one, other = shaken(model()), shaken(model(), seed=3)
    (one.save if name == "m.keras" else one.save_weights)(tmp_path / name)
    other.load_weights(str(tmp_path / name))
    agree(one, other, X, exact=True)


@pytest.mark.parametrize("name", ["m.weights.h5", "m.safetensors"])
@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "float64", "float32"])
def test_weights_of_every_dtype_come_back(name: str, dtype: str, tmp_path: Path) -> None:
    def made() -> Any:
        return kg.Sequential([kg.Input((4,), dtype=dtype), kg.layers.Dense(3, dtype=dtype)])

    one, other = made(), made()
    one.save_weights(tmp_path / name)
    other.load_weights(tmp_path / name)
    for a, b in zip(one.get_weights(), other.get_weights(), strict=True):
        assert a.dtype == b.dtype == np.dtype(a.dtype)
        assert (a == b).all()
    if name == "m.weights.h5" and dtype != "float64":  # which jax does not have
        theirs = keras.Sequential([keras.Input((4,), dtype=dtype), keras.layers.Dense(3, dtype=dtype)])
        theirs.load_weights(tmp_path / name)
        theirs.save_weights(tmp_path / "theirs.weights.h5")
        shaken(other).load_weights(tmp_path / "theirs.weights.h5")
        for a, b in zip(one.get_weights(), other.get_weights(), strict=True):
            assert (a == b).all()


def test_the_package_safetensors_reads_and_writes_the_same(tmp_path: Path) -> None:
    one, other = shaken(model()), model()
    one.save_weights(tmp_path / "ours.safetensors")
    arrays = safetensors.numpy.load_file(tmp_path / "ours.safetensors")
    assert len(arrays) == len(one.weights)
    np.testing.assert_array_equal(arrays["layers/dense/vars/0"], one.get_weights()[0])
    safetensors.numpy.save_file(arrays, tmp_path / "theirs.safetensors", {"made": "elsewhere"})
    other.load_weights(tmp_path / "theirs.safetensors")
    agree(one, other, X, exact=True)


def test_what_does_not_fit_is_said_before_anything_is_written(tmp_path: Path) -> None:
    def branches(units: int) -> Any:
        x = kg.Input((4,))
        return kg.Model(x, [kg.layers.Dense(units)(x), kg.layers.Dense(2)(x)])

    path = tmp_path / "m.weights.h5"
    shaken(branches(5)).save_weights(path)
    other = branches(3)
    before = other.get_weights()
    with pytest.raises(SavingError, match=r"layers/dense .* shape \(4, 3\), and the file has \(4, 5\)"):
        other.load_weights(path)
    for a, b in zip(before, other.get_weights(), strict=True):
        assert (a == b).all()
    with pytest.warns(UserWarning, match="does not fit"):
        other.load_weights(path, skip_mismatch=True)
    assert (other.get_weights()[0] == before[0]).all()
    assert not (other.get_weights()[-1] == before[-1]).all()


def test_a_file_with_other_layers_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "m.weights.h5"
    kg.Sequential([kg.Input((4,)), kg.layers.Dense(3)]).save_weights(path)
    with pytest.raises(SavingError, match="the file has none for it"):
        model().load_weights(path)
    kg.Sequential([kg.Input((4,)), kg.layers.Dense(3, use_bias=False)]).save_weights(path)
    with pytest.raises(SavingError, match="has variables 0, 1, and the file has 0"):
        kg.Sequential([kg.Input((4,)), kg.layers.Dense(3)]).load_weights(path)


def test_names_of_layers_do_not_matter(tmp_path: Path) -> None:
    one, other = shaken(model(name="this")), model(name="that")
    one.save_weights(tmp_path / "m.weights.h5")
    other.load_weights(tmp_path / "m.weights.h5")
    agree(one, other, X, exact=True)


def test_an_executable_made_before_computes_with_loaded_weights(tmp_path: Path) -> None:
    one, other = shaken(model()), model()
    run = kg.compile(other)
    run(X)
    one.save_weights(tmp_path / "m.weights.h5")
    other.load_weights(tmp_path / "m.weights.h5")
    np.testing.assert_allclose(run(X), one(X), rtol=1e-6)


def test_a_model_without_weights_yet_neither_saves_nor_loads_them(tmp_path: Path) -> None:
    unbuilt = kg.Sequential([kg.layers.Dense(3)])
    for call in (unbuilt.save_weights, unbuilt.load_weights):
        with pytest.raises(SavingError, match="before it is built"):
            call(tmp_path / "m.weights.h5")


def test_a_layer_may_say_itself_what_is_kept(tmp_path: Path) -> None:
    class Doubled(kg.layers.Dense):
        def save_own_variables(self, store: Any) -> None:
            store["twice"] = self.kernel.numpy() * 2
            store["bias"] = self.bias

        def load_own_variables(self, store: Any) -> None:
            self.kernel.assign(store["twice"] / 2)
            self.bias.assign(store["bias"])

    one, other = (shaken(kg.Sequential([kg.Input((4,)), Doubled(3)]), seed) for seed in (1, 2))
    for name in ("m.weights.h5", "m.safetensors"):
        shaken(other, 2)
        one.save_weights(tmp_path / name)
        other.load_weights(tmp_path / name)
        agree(one, other, X)


def test_shared_layers_are_kept_once() -> None:
    layer = kg.layers.Dense(4)
    x = kg.Input((4,))
    inner = kg.Model(x, layer(x))
    both = kg.Model(x, inner(layer(x)))
    paths = [place.path for place in places(both) if place.thing is layer]
    assert paths == ["layers/dense"]


def test_without_h5py_the_error_names_the_extra(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    one, other = shaken(model()), model()
    monkeypatch.setitem(sys.modules, "h5py", None)
    monkeypatch.delitem(sys.modules, "kgraph.saving.hdf5", raising=False)
    monkeypatch.delattr(kg.saving, "hdf5", raising=False)
    for call in (lambda: one.save(tmp_path / "m.keras"), lambda: one.save_weights(tmp_path / "m.weights.h5")):
        with pytest.raises(MissingExtraError, match=r"kgraph\[keras\]"):
            call()
    assert not list(tmp_path.iterdir())
    one.save_weights(tmp_path / "m.safetensors")  # which needs no package
    other.load_weights(tmp_path / "m.safetensors")
    agree(one, other, X, exact=True)
    agree(shaken(kg.models.model_from_json(one.to_json())), one, X, exact=True)
