"""What goes wrong in and around a layer that users write is said."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from custom_layers import X

import kgraph as kg
from kgraph.errors import ArgumentError, DTypeError, GraphError, NotTracedError

pytestmark = [
    pytest.mark.usefixtures("fresh_names"),
    pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning"),
]


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
