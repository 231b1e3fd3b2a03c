"""The table of a model: what it says of layers whose calls no definition holds."""

from __future__ import annotations

import re
from typing import Any

import keras
import numpy as np
import pytest

import kgraph as kg

X = np.zeros((2, 4), "float32")


def written(k: Any) -> Any:
    """A subclassed model: a layer called twice, a model inside, several outputs, and one that is not used."""

    class Written(k.Model):
        def __init__(self) -> None:
            super().__init__()
            self.first = k.layers.Dense(4, name="first")
            self.inner = k.Sequential([k.layers.Dense(3)], name="inner")
            self.cell = k.layers.LSTM(5, return_state=True, name="cell")
            self.unused = k.layers.Dense(3, name="unused")

        def call(self, x: Any) -> Any:
            return self.inner(self.first(self.first(x))), self.cell(x[:, None])[0]

    return Written()


def shapes_of(model: Any) -> dict[str, str]:
    """The second column of the table, by the first word of the first; batches of any size are one."""
    lines: list[str] = []
    model.summary(print_fn=lambda text, **_: lines.append(text), line_length=100)
    found = re.findall(r"│ (\w+) \(\w+\) +│ (.*?) +│", "\n".join(lines))
    return {name: shape.replace("(2,", "(None,") for name, shape in found}


@pytest.mark.filterwarnings("ignore:.*was called on layer:UserWarning")  # Keras says so of any model that is called
def test_a_called_model_shows_the_shapes_that_keras_shows() -> None:
    ours, theirs = written(kg), written(keras)
    ours(X)
    theirs(X)
    assert shapes_of(ours) == shapes_of(theirs)
    assert shapes_of(ours)["unused"] == "?"
    assert shapes_of(ours)["cell"] == "((None, 5), (None, 5), (None, 5))"


def test_a_built_model_shows_shapes_and_one_that_was_never_called_none() -> None:
    model = written(kg)
    assert set(shapes_of(model).values()) == {"?"}
    model.build((None, 4))
    assert shapes_of(model)["first"] == "(None, 4)"


def test_a_model_that_was_fitted_shows_shapes() -> None:
    model = written(kg)
    model.compile("sgd", ["mse", "mse"])
    model.fit(X, [np.zeros((2, 3)), np.zeros((2, 5))], verbose=0)
    assert shapes_of(model)["inner"] == "(None, 3)"


def test_what_the_optimizer_holds_is_counted_as_keras_counts_it() -> None:
    said = []
    for k in (kg, keras):
        model = k.Sequential([k.Input((4,)), k.layers.Dense(3), k.layers.BatchNormalization()])
        model.compile("adam", "mse")
        model.fit(X, np.zeros((2, 3), "float32"), verbose=0)
        lines: list[str] = []
        model.summary(print_fn=lambda text, lines=lines, **_: lines.append(text), line_length=100)  # type: ignore[misc]
        said.append(re.findall(r"(\w[\w-]*) params: ([\d,]+) \((.*?)\)", "\n".join(lines)))
    assert said[0] == said[1]
    assert [title for title, _, _ in said[0]] == ["Total", "Trainable", "Non-trainable", "Optimizer"]


def functional(k: Any) -> Any:
    """A layer that another model calls too, functions between layers, one with two results, and a model inside."""
    a, b = k.layers.Input((4,), name="a"), k.layers.Input((4,), name="b")
    shared = k.layers.Dense(4, name="shared")
    k.Model(a, shared(a) * 3)
    x, y = k.ops.split(shared(b), 2, axis=-1)
    inner = k.Sequential([k.layers.Dense(3, name="inside")], name="inner")
    return k.Model(b, [inner(x) + y[:, :1], k.ops.concatenate([y, b], axis=-1)], name="functional")


def test_functions_between_layers_have_rows_as_in_keras() -> None:
    lines: list[str] = []
    functional(kg).summary(print_fn=lambda text, **_: lines.append(text), line_length=160)
    rows = re.findall(r"│ (\w+ \(\w+\)) .*│ (.*?) +│\n", lines[0])
    theirs: list[str] = []
    keras.backend.clear_session()  # Keras counts the names of functions over all models
    functional(keras).summary(print_fn=lambda text, **_: theirs.append(text), line_length=160)
    assert [name for name, _ in rows] == re.findall(r"│ (\w+ \(\w+\))", theirs[0])
    assert dict(rows) == {
        "b (InputLayer)": "-",
        "shared (Dense)": "b[0][0]",
        "split (Split)": "shared[1][0]",
        "inner (Sequential)": "split[0][0]",
        "get_item (GetItem)": "split[0][1]",
        "add (Add)": "inner[0][0], get_item[0][0]",
        "concatenate (Concatenate)": "split[0][1], b[0][0]",
    }


def test_a_variable_between_layers_has_a_row() -> None:
    layer = kg.layers.Dense(4, name="layer")
    x = kg.layers.Input((4,), name="x")
    shapes = shapes_of(kg.Model(x, kg.ops.matmul(layer(x), layer.kernel)))
    assert shapes == {"x": "(None, 4)", "layer": "(None, 4)", "matmul": "(None, 4)"}


def test_a_range_of_rows_may_begin_at_a_function() -> None:
    lines: list[str] = []
    functional(kg).summary(print_fn=lambda text, **_: lines.append(text), line_length=160, layer_range=("split", "add"))
    assert re.findall(r"│ (\w+) \(", lines[0]) == ["split", "inner", "get_item", "add"]
