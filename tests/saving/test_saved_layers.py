"""Every layer of the tables in files: from Keras, to Keras, with its configuration and all of its variables."""

import io
import json
import sys
import zipfile
from pathlib import Path
from typing import Any

import h5py
import keras
import numpy as np
import pytest
from exchange import agree, shaken

import kgraph as kg

sys.path.append(str(Path(__file__).parents[1] / "layers"))

from layer_families import Case, applied, arrays_of
from layer_table import TABLE, name_of

# Keras says that this option will be no more.
pytestmark = pytest.mark.filterwarnings("ignore:You passed `rms_scaling:UserWarning")


def batch_of(case: Case) -> int:
    return arrays_of(case)[0].shape[0]


def in_parts(cases: list[Case], size: int) -> list[list[Case]]:
    """Cases whose inputs have the same batch, so many together."""
    found: list[list[Case]] = []
    for batch in sorted(set(map(batch_of, cases))):
        same = [case for case in cases if batch_of(case) == batch]
        found += [same[begin : begin + size] for begin in range(0, len(same), size)]
    return found


def model_of(k: Any, cases: list[Case]) -> Any:
    """One model with a branch for each case."""
    inputs, results = [], []
    for case in cases:
        own = [k.Input(batch_shape=(None, *a.shape[1:]), dtype=str(a.dtype)) for a in arrays_of(case)]
        results.append(applied(case, getattr(k.layers, case.layer)(**case.options), own))
        inputs += own
    return k.Model(inputs, results)


def described(model: Any) -> list[Any]:
    """The configurations of a model's layers, without their names, as JSON has them."""
    found = [(type(layer).__name__, {**layer.get_config(), "name": ""}) for layer in model.layers]
    return json.loads(json.dumps(found))


def equal(model: Any, wanted: list[np.ndarray]) -> None:
    """Assert that these are the weights of a model, in their order."""
    for a, b in zip(model.get_weights(), wanted, strict=True):
        np.testing.assert_array_equal(np.asarray(a), b)


def contents(path: Path) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    """The layers' configurations in a .keras file, as far as they say anything, and its arrays."""
    arrays: dict[str, np.ndarray] = {}
    with zipfile.ZipFile(path) as archive:
        config = json.loads(archive.read("config.json"))
        with h5py.File(io.BytesIO(archive.read("model.weights.h5"))) as store:
            store.visititems(lambda name, one: arrays.update({name: one[()]} if isinstance(one, h5py.Dataset) else {}))
    return {one["name"]: said(one) for one in config["config"]["layers"]}, arrays


def said(value: Any) -> Any:
    """A configuration without what is None, with names for policies and without the numbers of shared objects."""
    if isinstance(value, list):
        return [said(one) for one in value]
    if not isinstance(value, dict):
        return value
    if value.get("class_name") == "DTypePolicy":
        return value["config"]["name"]
    if value.get("class_name") == "__keras_tensor__":
        return value["config"]["keras_history"]
    skipped = ("shared_object_id", "build_config", "renorm", "renorm_momentum")  # renorm is always False
    return {key: said(one) for key, one in value.items() if one is not None and key not in skipped}


def check_file(cases: list[Case], folder: Path) -> None:
    """Assert that kgraph reads Keras's file of a model with these layers, and writes the same one."""
    theirs = shaken(model_of(keras, cases))
    theirs.save(folder / "theirs.keras")
    kg.models.load_model(folder / "theirs.keras").save(folder / "ours.keras")
    (config, arrays), (own_config, own_arrays) = (contents(folder / f"{who}.keras") for who in ("theirs", "ours"))
    assert own_config == config
    seeds = {path for path in own_arrays if "/seed_generator" in path}
    assert own_arrays.keys() - seeds == arrays.keys()
    for path, array in arrays.items():
        np.testing.assert_array_equal(own_arrays[path], array, err_msg=path)


def check(cases: list[Case], folder: Path) -> None:
    """Assert that a model with these layers comes through, in both directions."""
    theirs = shaken(model_of(keras, cases))
    theirs.save(folder / "theirs.keras")
    theirs.load_weights(folder / "theirs.keras")  # of factors that adapt a weight the file has their product only
    wanted = [np.asarray(weight) for weight in theirs.get_weights()]
    ours = kg.models.load_model(folder / "theirs.keras")
    if not any(case.options.get("lora_rank") for case in cases):
        equal(ours, wanted)
    ours.save(folder / "ours.keras")
    back = keras.models.load_model(folder / "ours.keras")
    assert described(back) == described(theirs)
    equal(back, wanted)
    shaken(ours, seed=3).load_weights(folder / "theirs.keras")
    ours.save_weights(folder / "ours.weights.h5")
    shaken(theirs, seed=4).load_weights(folder / "ours.weights.h5")
    equal(theirs, wanted)


def sample() -> list[Case]:
    """One case of every fourth layer, and of those that hold layers or state, or are adapted."""
    first = {case.layer: case for case in reversed(TABLE)}
    names = {*sorted(first)[::4], "MultiHeadAttention", "GroupQueryAttention", "BatchNormalization", "Normalization"}
    return [*(first[name] for name in sorted(names)), next(case for case in TABLE if case.options.get("lora_rank"))]


@pytest.mark.parametrize("cases", in_parts(sample(), 60), ids=lambda cases: name_of(cases[0]))
def test_layers_are_read_and_written_as_keras_writes_them(cases: list[Case], tmp_path: Path) -> None:
    check_file(cases, tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize("case", TABLE, ids=name_of)
def test_a_layer_goes_from_keras_to_kgraph_and_back_in_every_configuration(case: Case, tmp_path: Path) -> None:
    check([case], tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize("case", TABLE, ids=name_of)
def test_a_layer_from_a_file_of_keras_gives_what_it_gave(case: Case, tmp_path: Path) -> None:
    theirs = shaken(model_of(keras, [case]))
    for layer in theirs.layers:
        if case.layer == "Normalization" and layer.weights:
            layer.finalize_state()
    theirs.save(tmp_path / "theirs.keras")
    agree(kg.models.load_model(tmp_path / "theirs.keras"), theirs, arrays_of(case))


def test_adapted_layers_keep_what_they_compute(tmp_path: Path) -> None:
    model = kg.Sequential([kg.Input((5,)), kg.layers.Dense(4, lora_rank=2)])
    shaken(model).save(tmp_path / "model.keras")
    x = np.ones((2, 5), "float32")
    loaded = kg.models.load_model(tmp_path / "model.keras")
    agree(model, loaded, x)
    assert loaded.layers[0].lora_enabled
    assert np.abs(loaded.layers[0].lora_kernel_a.value).max() > 0  # else no gradient would ever reach the factors
    agree(model, keras.models.load_model(tmp_path / "model.keras"), x)


def test_an_integer_lookup_keeps_its_vocabulary(tmp_path: Path) -> None:
    layer = kg.layers.IntegerLookup()
    layer.adapt(np.array([7, 7, 9, 3, 9, 9]))
    model = kg.Sequential([kg.Input((2,), dtype="int64"), layer])
    model.save(tmp_path / "model.keras")
    x = np.array([[9, 3], [5, 7]])
    np.testing.assert_array_equal(kg.models.load_model(tmp_path / "model.keras")(x), model(x))


def test_draws_go_on_where_the_file_was_written(tmp_path: Path) -> None:
    model = kg.Sequential([kg.Input((50,)), kg.layers.Dropout(0.5, seed=3)])
    x = np.ones((2, 50), "float32")
    model(x, training=True)
    model.save(tmp_path / "model.keras")
    loaded = kg.models.load_model(tmp_path / "model.keras")
    np.testing.assert_array_equal(loaded(x, training=True), model(x, training=True))
    keras.models.load_model(tmp_path / "model.keras")  # which does not look for it
