"""Files made to do harm: what a configuration names is neither run, nor imported, nor read from elsewhere."""

import base64
import json
import marshal
import os
import pickle
from pathlib import Path
from typing import Any

import h5py
import pytest
from harmful_files import LARGE, file_of, honest, refused, with_layer

import kgraph as kg
from kgraph.errors import SavingError

pytestmark = pytest.mark.usefixtures("first_use", "nothing_happens")


# Code in configurations


CODE = base64.b64encode(marshal.dumps((lambda x: os.system("touch evil")).__code__)).decode()


@pytest.mark.parametrize("safe_mode", [True, False])
@pytest.mark.parametrize(
    "function",
    [
        {"class_name": "__lambda__", "config": {"code": CODE, "defaults": None, "closure": None}},
        {"class_name": "__lambda__", "config": {"value": [CODE, None, None]}},
        [CODE, None, None],
    ],
)
def test_cve_2024_3660_code_of_a_lambda_is_not_run(function: Any, safe_mode: bool) -> None:
    config = {"name": "evil", "function": function, "function_type": "lambda", "arguments": {}}
    path = with_layer({"module": "keras.layers", "class_name": "Lambda", "config": config})
    refused(path, "code, which is never run", safe_mode=safe_mode)


def test_code_of_a_lambda_anywhere_else_is_not_run() -> None:
    code = {"class_name": "__lambda__", "config": {"code": CODE, "defaults": None, "closure": None}}
    with pytest.raises(SavingError, match="never run"):
        kg.saving.deserialize_keras_object(code, safe_mode=False)
    path = file_of(lambda config: config["config"]["layers"][1]["config"].update(activation=code))
    refused(path, "__lambda__")


@pytest.mark.parametrize(
    ("module", "name"),
    [
        ("os", "system"),
        ("subprocess", "run"),
        ("builtins", "exec"),
        ("builtins", "eval"),
        ("posix", "system"),
        ("keras.src.utils.os", "system"),
        ("keras.src.saving.saving_lib", "os.system"),
    ],
)
@pytest.mark.parametrize("kind", ["class", "function"])
def test_cve_2025_1550_modules_that_a_file_names_are_not_imported(module: str, name: str, kind: str) -> None:
    described = {"class_name": name, "config": {"command": "touch evil"}}
    described = {"class_name": "function", "config": name} if kind == "function" else described
    path = with_layer({"module": module, "registered_name": name, **described, "inbound_nodes": []})
    refused(path, f"{name}.*nothing is imported|{name}.*neither")


def test_cve_2025_1550_as_the_first_thing_in_the_file() -> None:
    path = file_of(lambda config: {"module": "os", "class_name": "system", "config": {"command": "touch evil"}})
    refused(path, "nothing is imported because a file names it")


@pytest.mark.parametrize(
    ("module", "name", "arguments"),
    [
        ("keras.utils", "get_file", {"fname": "evil", "origin": "http://example.com/evil"}),
        ("keras.src.utils.file_utils", "get_file", {"origin": "file:///etc/passwd"}),
        ("keras.config", "enable_unsafe_deserialization", {}),
        ("keras.src.backend.common.global_state", "set_global_attribute", {"name": "safe_mode_saving", "value": False}),
        ("keras.models", "load_model", {"filepath": "other.keras", "safe_mode": False}),
        ("keras.saving", "load_model", {"filepath": "other.keras", "safe_mode": False}),
        ("kgraph.saving", "load_model", {"filepath": "other.keras"}),
        ("keras.utils", "image_dataset_from_directory", {"directory": "/"}),
    ],
)
@pytest.mark.parametrize("place", ["Lambda", "layer", "operation"])
def test_cve_2025_8747_and_9906_functions_of_keras_are_no_layers(
    module: str, name: str, arguments: dict[str, Any], place: str
) -> None:
    function = {"module": module, "class_name": "function", "config": name, "registered_name": name}
    if place == "Lambda":
        config = {"name": "evil", "function": function, "arguments": arguments}
        path = with_layer({"module": "keras.layers", "class_name": "Lambda", "config": config})
    elif place == "layer":
        path = with_layer(function)
    else:
        path = functional_file({"module": module, "class_name": name, "config": arguments, "registered_name": None})
    refused(path, name)


def functional_file(entry: dict[str, Any], node: Any = None) -> Path:
    """A functional model with one more entry, which is called on the input."""
    x = kg.Input((3,), name="x")
    model = kg.Model(x, kg.layers.Dense(2, name="dense")(x), name="model")
    config = json.loads(model.to_json())
    tensor = {"shape": [None, 3], "dtype": "float32", "keras_history": ["x", 0, 0]}
    node = node or {"args": [{"class_name": "__keras_tensor__", "config": tensor}], "kwargs": {}}
    config["config"]["layers"].append({"name": "evil", "inbound_nodes": [node], **entry})
    return file_of(lambda _: config)


@pytest.mark.parametrize("name", ["system", "Scan", "WhileLoop", "Map", "fori_loop", "__class__", "getattr"])
def test_operations_are_those_of_the_table(name: str) -> None:
    refused(functional_file({"module": "keras.src.ops.core", "class_name": name, "config": {}}), "none of those")


def test_an_operation_wants_a_tensor_of_the_model_and_numbers_of_a_size() -> None:
    zeros = {"module": "keras.src.ops.numpy", "class_name": "Tile", "config": {"repeats": [1, LARGE * LARGE]}}
    refused(functional_file(zeros), "larger than any size")
    nothing = {"module": "keras.src.ops.numpy", "class_name": "Repeat", "config": {"repeats": 10**9}}
    refused(functional_file(nothing, {"args": [[1, 2]], "kwargs": {}}), "on no tensor")


def test_cve_2026_1462_a_saved_model_is_not_loaded() -> None:
    config = {"name": "evil", "filepath": "/tmp/evil", "call_endpoint": "serve", "trainable": True}
    path = with_layer({"module": "keras.layers", "class_name": "TFSMLayer", "config": config})
    refused(path, "TFSMLayer.*neither")
    refused(path, "TFSMLayer.*neither", safe_mode=False)


def test_cve_2025_49655_a_torch_module_is_not_unpickled() -> None:
    module = base64.b64encode(pickle.dumps(os.getcwd)).decode()
    entry = {"module": "keras.layers", "class_name": "TorchModuleWrapper", "config": {"name": "t", "module": module}}
    refused(with_layer(entry), "TorchModuleWrapper.*neither")


@pytest.mark.parametrize("vocabulary", ["/etc/passwd", "http://169.254.169.254/latest/meta-data"])
@pytest.mark.parametrize("layer", ["StringLookup", "IntegerLookup", "TextVectorization"])
def test_cve_2025_12058_a_vocabulary_is_not_read_from_elsewhere(vocabulary: str, layer: str) -> None:
    entry = {"module": "keras.layers", "class_name": layer, "config": {"name": "v", "vocabulary": vocabulary}}
    refused(with_layer(entry), layer)


# Whole models in HDF5


def test_cve_2025_9905_code_in_models_in_hdf5_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "model.h5"
    layer = {"class_name": "Lambda", "config": {"name": "evil", "function": [CODE, None, None]}}
    with h5py.File(path, "w") as store:
        store.attrs["model_config"] = json.dumps(
            {"class_name": "Sequential", "config": {"name": "m", "layers": [layer]}}
        )
        store.attrs["layer_names"] = ["dense"]
    refused(path, "Lambda")
    path.rename(tmp_path / "model.keras")
    refused(tmp_path / "model.keras", "Lambda")
    model = honest()
    (tmp_path / "model.keras").rename(tmp_path / "model.weights.h5")
    with pytest.raises(SavingError, match="has no 'dense'"):
        model.load_weights(tmp_path / "model.weights.h5")
