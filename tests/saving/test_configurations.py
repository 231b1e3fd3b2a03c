"""Models and objects as plain data: configurations, JSON, copies, and what the user registers."""

import json
from typing import Any

import keras
import numpy as np
import pytest
from exchange import agree, shaken

import kgraph as kg
from kgraph import registry, saving
from kgraph.errors import ArgumentError, KGraphError, SavingError

X = np.random.default_rng(0).normal(size=(3, 4)).astype("float32")


@pytest.fixture(autouse=True)
def registry_as_before() -> Any:
    tables = (saving.get_custom_objects(), registry._names)
    before = [dict(table) for table in tables]
    yield
    for table, entries in zip(tables, before, strict=True):
        table.clear()
        table.update(entries)


def joined() -> Any:
    a, b = kg.Input((4,), name="a"), kg.Input((4,), name="b")
    both = kg.layers.Add()([kg.layers.Dense(3, "tanh")(a), kg.layers.Dense(3)(b) * 2.0])
    return kg.Model([a, b], [kg.layers.Dense(2)(both), kg.ops.mean(both, axis=-1)])


def stacked() -> Any:
    return kg.Sequential([kg.Input((4,)), kg.layers.Dense(3, "relu"), kg.layers.Dropout(0.5), kg.layers.Dense(2)])


class Scaled(kg.Model):
    """A model written as a class."""

    def __init__(self, units: int, factor: float = 2.0, **options: Any) -> None:
        super().__init__(**options)
        self.units, self.factor = units, factor
        self.dense = kg.layers.Dense(units)
        self.more = [kg.layers.Dense(units, "tanh"), kg.layers.BatchNormalization()]

    def call(self, x: Any, training: Any = None) -> Any:
        x = self.more[0](self.dense(x)) * self.factor
        return self.more[1](x, training=training)


class Halves(kg.layers.Layer):
    """A layer without get_config."""

    def __init__(self, by: float = 0.5, **options: Any) -> None:
        super().__init__(**options)
        self.by = by

    def call(self, x: Any) -> Any:
        return x * self.by


def cubed(x: Any) -> Any:
    return x * x * x


@pytest.mark.parametrize("build", [joined, stacked])
def test_configurations_make_equal_models(build: Any) -> None:
    model = shaken(build())
    x = [X, X + 1] if build is joined else X
    for other in (
        type(model).from_config(model.get_config()),
        type(model).from_config(json.loads(json.dumps(model.get_config()))),
        kg.models.model_from_json(model.to_json()),
        kg.models.model_from_json(model.to_json(indent=2)),
    ):
        assert type(other) is type(model)
        assert other.get_config() == json.loads(json.dumps(model.get_config()))
        other.set_weights(model.get_weights())
        agree(model, other, x, exact=True)


def test_json_is_that_of_keras() -> None:
    theirs = keras.Sequential([keras.Input((4,), name="x"), keras.layers.Dense(3, "relu", name="dense")], name="model")
    ours = kg.models.model_from_json(theirs.to_json())
    back = keras.models.model_from_json(ours.to_json())
    assert json.loads(back.to_json()) == json.loads(theirs.to_json())


def test_a_model_of_keras_2_is_read_too() -> None:
    layer = {"class_name": "Dense", "config": {"name": "dense", "trainable": True, "dtype": "float32", "units": 2}}
    entry = {"class_name": "InputLayer", "config": {"batch_input_shape": [None, 4], "dtype": "float32", "name": "x"}}
    config = {
        "name": "model",
        "layers": [
            {**entry, "name": "x", "inbound_nodes": []},
            {**layer, "name": "dense", "inbound_nodes": [[["x", 0, 0, {}]]]},
        ],
        "input_layers": [["x", 0, 0]],
        "output_layers": [["dense", 0, 0]],
    }
    text = json.dumps({"class_name": "Functional", "config": config, "keras_version": "2.9.0", "backend": "tensorflow"})
    assert kg.models.model_from_json(text).output_shape == (None, 2)


def test_frozen_layers_stay_frozen() -> None:
    model = joined()
    model.layers[2].trainable = False
    other = kg.models.model_from_json(model.to_json())
    assert [layer.trainable for layer in other.layers] == [layer.trainable for layer in model.layers]
    assert len(other.trainable_weights) == len(model.trainable_weights) == 4
    model.trainable = False
    assert kg.models.model_from_json(model.to_json()).trainable_weights == []


def test_a_model_from_the_middle_of_another_has_inputs_of_its_own() -> None:
    x = kg.Input((4,))
    middle = kg.layers.Dense(3)(x)
    end = shaken(kg.Model(middle, kg.layers.Dense(2)(middle)))
    other = kg.models.model_from_json(end.to_json())
    other.set_weights(end.get_weights())
    agree(end, other, X[:, :3], exact=True)


# Classes and functions of the user's


def test_models_and_layers_of_the_users_need_no_get_config(tmp_path: Any) -> None:
    model = Scaled(3, factor=4.0, name="scaled")
    model(X)
    shaken(model).save(tmp_path / "model.keras")
    with pytest.raises(SavingError, match=r"'Scaled' of .*register_keras_serializable"):
        kg.models.load_model(tmp_path / "model.keras")
    loaded = kg.models.load_model(tmp_path / "model.keras", custom_objects={"Scaled": Scaled})
    assert (type(loaded), loaded.units, loaded.factor, loaded.name) == (Scaled, 3, 4.0, "scaled")
    agree(model, loaded, X, exact=True)


def test_what_is_registered_is_found(tmp_path: Any) -> None:
    saving.register_keras_serializable("mine")(Halves)
    saving.register_keras_serializable("mine", "third power")(cubed)
    saving.register_keras_serializable()(Scaled)
    assert saving.get_registered_name(Halves) == "mine>Halves"
    assert saving.get_registered_object("mine>third power") is cubed
    assert saving.get_registered_object("Custom>Scaled") is Scaled
    assert saving.get_registered_name(joined) == "joined"
    assert saving.get_registered_object("nothing") is None
    x = kg.Input((4,))
    y = kg.layers.TimeDistributed(Halves(0.25))(kg.layers.RepeatVector(2)(kg.layers.Dense(3, activation=cubed)(x)))
    model = shaken(kg.Model(x, kg.layers.Lambda(cubed)(Scaled(2)(kg.layers.Flatten()(y)))))
    model.save(tmp_path / "model.keras")
    agree(model, kg.models.load_model(tmp_path / "model.keras"), X, exact=True)
    names = json.loads(model.to_json())["config"]["layers"]
    assert [one["registered_name"] for one in names if one["class_name"] == "Scaled"] == ["Custom>Scaled"]


def test_the_users_own_classes_go_to_keras_and_back(tmp_path: Any) -> None:
    def made(k: Any) -> Any:
        class Own(k.layers.Layer):
            def __init__(self, units: int = 3, inner: Any = None, **options: Any) -> None:
                super().__init__(**options)
                self.units = units
                self.inner = inner or k.layers.Dense(units)

            def build(self, shape: Any) -> None:
                if not self.inner.built:
                    self.inner.build(shape)
                self.scale = self.add_weight(shape=(self.units,), name="scale")

            def call(self, x: Any) -> Any:
                return self.inner(x) * self.scale

            def get_config(self) -> Any:
                return {
                    **super().get_config(),
                    "units": self.units,
                    "inner": k.saving.serialize_keras_object(self.inner),
                }

            @classmethod
            def from_config(cls, config: Any) -> Any:
                config = dict(config)
                config["inner"] = k.saving.deserialize_keras_object(config["inner"])
                return cls(**config)

        Own.__module__ = "somewhere"
        return k.saving.register_keras_serializable("exchange")(Own)

    ours, theirs = made(kg), made(keras)
    model = shaken(keras.Sequential([keras.Input((4,)), theirs(5), keras.layers.Dense(2)]))
    model.save(tmp_path / "theirs.keras")
    loaded = kg.models.load_model(tmp_path / "theirs.keras")
    assert type(loaded.layers[0]) is ours
    agree(loaded, model, X)
    loaded.save(tmp_path / "ours.keras")
    agree(loaded, keras.models.load_model(tmp_path / "ours.keras"), X)


def test_a_functional_model_of_a_class_of_its_own() -> None:
    class Plain(kg.Model):
        pass

    class Made(kg.Model):
        def __init__(self, units: int, **options: Any) -> None:
            x = kg.Input((4,))
            super().__init__(inputs=x, outputs=kg.layers.Dense(units)(x), **options)
            self.units = units

    x = kg.Input((4,))
    for model, key in ((Plain(x, kg.layers.Dense(2)(x)), "layers"), (Made(3), "units")):
        config = model.get_config()
        assert key in config
        with saving.custom_object_scope({"Plain": Plain, "Made": Made}):
            other = kg.models.model_from_json(model.to_json())
        assert type(other) is type(model)
        other.set_weights(model.get_weights())
        agree(model, other, X, exact=True)


def test_scopes_end() -> None:
    config = saving.serialize_keras_object(Halves())
    with saving.CustomObjectScope({"Halves": Halves}):
        assert isinstance(saving.deserialize_keras_object(config), Halves)
        with saving.custom_object_scope({"other": cubed}):
            assert saving.get_registered_object("Halves") is Halves
    with pytest.raises(SavingError, match="Halves"):
        saving.deserialize_keras_object(config)
    assert isinstance(saving.deserialize_keras_object(config, {"Halves": Halves}), Halves)
    assert kg.utils.deserialize_keras_object is saving.deserialize_keras_object


def test_a_class_is_registered_with_brackets_and_a_get_config() -> None:
    with pytest.raises(ArgumentError, match="brackets"):
        saving.register_keras_serializable(Halves)  # type: ignore[arg-type]
    with pytest.raises(ArgumentError, match="no get_config"):
        saving.register_keras_serializable()(int)


def test_a_lambda_is_refused_where_it_is_saved(tmp_path: Any) -> None:
    x = kg.Input((4,))
    model = kg.Model(x, kg.layers.Lambda(lambda x: x * 2)(x))
    with pytest.raises(SavingError, match="lambda cannot be saved"):
        model.save(tmp_path / "model.keras")
    assert not list(tmp_path.iterdir())
    agree(model, kg.models.clone_model(model), X, exact=True)


# Any object as data


OBJECTS = [
    kg.initializers.HeNormal(seed=3),
    kg.regularizers.L1L2(0.1, 0.2),
    kg.constraints.MinMaxNorm(0.1, 0.9),
    kg.losses.Huber(delta=2.0),
    kg.layers.Dense(3, "relu", kernel_regularizer="l2"),
    kg.layers.Bidirectional(kg.layers.LSTM(3)),
    kg.DTypePolicy("mixed_bfloat16"),
    kg.random.SeedGenerator(4),
]


@pytest.mark.parametrize("thing", OBJECTS, ids=lambda thing: type(thing).__name__)
def test_objects_come_back_here_and_in_keras(thing: Any) -> None:
    config = json.loads(json.dumps(saving.serialize_keras_object(thing)))
    again = saving.deserialize_keras_object(config)
    assert type(again) is type(thing)
    assert saving.serialize_keras_object(again) == config
    theirs = keras.saving.deserialize_keras_object(config)
    back = saving.deserialize_keras_object(json.loads(json.dumps(keras.saving.serialize_keras_object(theirs))))
    assert type(back) is type(thing)


@pytest.mark.parametrize(
    "value",
    [None, 3, 2.5, "text", True, [1, [2, None]], {"a": {"b": 1}}, slice(1, None, 2), Ellipsis, b"bytes", X],
    ids=repr,
)
def test_values_come_back_here_and_in_keras(value: Any) -> None:
    config = json.loads(json.dumps(saving.serialize_keras_object(value)))
    for again in (saving.deserialize_keras_object(config), keras.saving.deserialize_keras_object(config)):
        if isinstance(value, np.ndarray):
            np.testing.assert_array_equal(np.asarray(again), value)
        else:
            assert again == value


def test_functions_are_named() -> None:
    config = saving.serialize_keras_object(kg.activations.relu)
    assert saving.deserialize_keras_object(config) is kg.activations.relu
    assert saving.deserialize_keras_object(keras.saving.serialize_keras_object(keras.activations.gelu))
    saving.register_keras_serializable("p")(cubed)
    assert saving.deserialize_keras_object(saving.serialize_keras_object(cubed)) is cubed


@pytest.mark.parametrize(
    "value", [object(), kg.Variable(1.0), kg.Input((3,)), open], ids=lambda value: str(type(value))
)
def test_what_no_data_describes_is_refused(value: Any) -> None:
    try:
        config = saving.serialize_keras_object(value)
    except KGraphError:
        return
    with pytest.raises(SavingError):
        saving.deserialize_keras_object(config)


def test_layers_shared_between_models_are_shared_again(tmp_path: Any) -> None:
    table = kg.layers.Dense(4, name="table")
    x, y = kg.Input((4,)), kg.Input((4,))
    one, two = kg.Model(x, kg.layers.Activation("tanh")(table(x))), kg.Model(y, table(y))
    z = kg.Input((4,))
    whole = shaken(kg.Model(z, two(one(z))))
    whole.save(tmp_path / "model.keras")
    loaded = kg.models.load_model(tmp_path / "model.keras")
    assert len(loaded.weights) == len(whole.weights) == 2
    agree(whole, loaded, X, exact=True)


# Copies


@pytest.mark.parametrize("build", [joined, stacked])
def test_clones_have_layers_and_weights_of_their_own(build: Any) -> None:
    model = shaken(build())
    clone = kg.models.clone_model(model)
    assert [layer.name for layer in clone.layers] == [layer.name for layer in model.layers]
    assert not {id(weight) for weight in clone.weights} & {id(weight) for weight in model.weights}
    clone.set_weights(model.get_weights())
    agree(model, clone, [X, X] if build is joined else X, exact=True)
    assert clone.get_config() == model.get_config()


def test_a_clone_may_have_other_layers_and_inputs() -> None:
    model = stacked()
    seen = []

    def other(layer: Any) -> Any:
        seen.append(layer.name)
        return kg.layers.Dense(layer.units, "sigmoid") if isinstance(layer, kg.layers.Dense) else layer

    clone = kg.models.clone_model(model, clone_function=other)
    assert seen == [layer.name for layer in model.layers]
    assert clone.layers[0].activation is kg.activations.sigmoid
    assert clone.layers[1] is model.layers[1]
    a = kg.Input((4,), batch_size=3, name="mine")
    assert kg.models.clone_model(model, input_tensors=a).input_shape == (3, 4)
    two = kg.models.clone_model(joined(), input_tensors=[a, kg.Input((4,), batch_size=3)])
    assert two.input_names[0] == "mine"
    with pytest.raises(ArgumentError, match="2 inputs"):
        kg.models.clone_model(joined(), input_tensors=[a])


def test_a_clone_of_a_class_is_made_by_its_configuration() -> None:
    model = Scaled(3)
    model(X)
    clone = kg.models.clone_model(model)
    clone(X)
    clone.set_weights(model.get_weights())
    agree(model, clone, X, exact=True)
    with pytest.raises(ArgumentError, match="class of its own"):
        kg.models.clone_model(model, clone_function=lambda layer: layer)


def test_sequences_of_any_length_are_cloned_and_saved(tmp_path: Any) -> None:
    x = kg.Input((None, 4))
    y = kg.ops.reshape(kg.layers.Dense(6)(x)[:, 1:], (-1, 3))
    model = shaken(kg.Model(x, kg.layers.Dense(2)(y)))
    steps = np.random.default_rng(0).normal(size=(2, 5, 4)).astype("float32")
    clone = kg.models.clone_model(model)
    clone.set_weights(model.get_weights())
    agree(model, clone, steps, exact=True)
    clone.save(tmp_path / "model.keras")
    agree(model, kg.models.load_model(tmp_path / "model.keras"), steps, exact=True)
