"""A public name of Keras is here, or says why it is not."""

from __future__ import annotations

import importlib

import keras
import pytest

import kgraph as kg
from kgraph.missing import LAYER_METHODS, METHODS, WHY

MODULES = [
    "layers", "losses", "metrics", "optimizers", "callbacks", "initializers", "regularizers", "constraints",
    "activations", "random", "saving", "config", "models", "dtype_policies", "optimizers.schedules", "utils",
    "mixed_precision", "preprocessing", "preprocessing.sequence", "tree", "",
]  # fmt: skip


def looked_up(start: object, path: str) -> object:
    for name in path.split(".") if path else ():
        start = getattr(start, name)
    return start


@pytest.mark.parametrize("path", MODULES)
def test_a_name_of_keras_is_here_or_says_why_not(path):
    theirs, ours = looked_up(keras, path), looked_up(kg, path)
    names = [name for name in dir(theirs) if not name.startswith("_")]
    absent = {name for name in names if not hasattr(ours, name)} - {"src"}
    assert absent == set(WHY.get(path, ())) & set(names)


@pytest.mark.parametrize("path", WHY)
def test_a_missing_name_is_an_attribute_error_with_the_reason(path):
    module = importlib.import_module(f"kgraph.{path}".removesuffix("."))
    for name, why in WHY[path].items():
        with pytest.raises(AttributeError, match=f"{module.__name__} has no '{name}': ") as caught:
            getattr(module, name)
        assert str(caught.value).endswith(why)
    with pytest.raises(AttributeError, match="has no attribute 'Dens'"):
        _ = module.Dens


@pytest.mark.parametrize("name", METHODS)
def test_a_missing_method_of_a_model_says_what_does_it(name):
    for model in (kg.Sequential([kg.layers.Dense(1)]), kg.Sequential([kg.Input((2,)), kg.layers.Dense(1)])):
        with pytest.raises(AttributeError, match=f"kgraph.Model has no '{name}': "):
            getattr(model, name)


@pytest.mark.parametrize("name", sorted(LAYER_METHODS.keys() - METHODS.keys()))
def test_a_missing_method_of_a_layer_says_what_does_it(name):
    built = kg.layers.Dense(1)
    built.build((None, 2))
    for layer in (kg.layers.Dense(1), built, kg.Sequential([built])):
        with pytest.raises(AttributeError, match=f"kgraph.layers.Layer has no '{name}': "):
            getattr(layer, name)


def test_what_a_layer_or_model_of_keras_has_is_here_or_says_why_not():
    layer, model = kg.layers.Dense(1), kg.Sequential([kg.Input((2,)), kg.layers.Dense(1)])
    for theirs, ours in ((keras.layers.Layer, layer), (keras.Model, model)):
        for name in dir(theirs):
            if not name.startswith("_") and not hasattr(type(ours), name) and not hasattr(ours, name):
                with pytest.raises(AttributeError, match=f"kgraph.*has no '{name}': "):
                    getattr(ours, name)
