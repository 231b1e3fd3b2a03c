"""Files made to do harm: each of the attacks on Keras's loader that were published ends in a clear refusal."""

import base64
import codecs
import io
import json
import marshal
import os
import pickle
import struct
import tempfile
import tracemalloc
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

import kgraph as kg
from kgraph.errors import KGraphError, SavingError

LARGE = 10**12


@pytest.fixture(autouse=True, scope="module")
def first_use(tmp_path_factory: pytest.TempPathFactory) -> None:
    """What is made once: networkx writes functions of its own when they are first called."""
    path = tmp_path_factory.mktemp("first") / "model.keras"
    honest().save(path)
    kg.models.load_model(path)(np.ones((1, 3), "float32"))
    codecs.lookup("ascii")


@pytest.fixture
def little_memory() -> Iterator[None]:
    """Less than 64 MB are ever allocated."""
    tracemalloc.start()
    yield
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 1 << 26


@pytest.fixture(autouse=True)
def nothing_happens(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """No code of the file runs, no module is imported for it, and no file is written."""
    import builtins
    import importlib
    import subprocess

    def never(*args: Any, **kwargs: Any) -> Any:
        raise AssertionError(f"the file made the loader call this: {args!r:.100}")

    folder = tmp_path / "here"
    folder.mkdir()
    monkeypatch.chdir(folder)
    for module, name in (
        (os, "system"), (subprocess, "Popen"), (builtins, "eval"), (builtins, "exec"),
        (pickle, "loads"), (pickle, "load"), (importlib, "import_module"), (zipfile.ZipFile, "extract"),
        (zipfile.ZipFile, "extractall"),
    ):  # fmt: skip
        monkeypatch.setattr(module, name, never)
    yield
    assert sorted(path.name for path in folder.iterdir()) in ([], ["model.keras"], ["model.weights.h5"])
    assert not (tmp_path / "evil").exists()


def honest() -> Any:
    return kg.Sequential([kg.Input((3,), name="x"), kg.layers.Dense(2, name="dense")], name="model")


def file_of(change: Callable[[dict[str, Any]], Any] | None = None, weights: Callable[[Any], Any] | None = None) -> Path:
    """An honest model's file after a change of its configuration, or of its weights."""
    path = Path("model.keras")
    honest().save(path)
    with zipfile.ZipFile(path) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    if change is not None:
        config = json.loads(members["config.json"])
        members["config.json"] = json.dumps(change(config) or config).encode()
    if weights is not None:
        file = io.BytesIO(members["model.weights.h5"])
        with h5py.File(file, "a") as store:
            weights(store)
        members["model.weights.h5"] = file.getvalue()
    with zipfile.ZipFile(path, "w") as archive:
        for name, data in members.items():
            archive.writestr(name, data)
    return path


def with_layer(entry: dict[str, Any]) -> Path:
    """A file whose model has this layer too."""
    return file_of(lambda config: config["config"]["layers"].append({"registered_name": None, **entry}))


def refused(path: Any, match: str, **options: Any) -> None:
    with pytest.raises(KGraphError, match=match) as found:
        kg.models.load_model(path, **options)
    assert isinstance(found.value, ValueError)


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


# Weights


def in_place_of_the_kernel(make: Callable[[Any], Any]) -> Callable[[Any], None]:
    def change(store: Any) -> None:
        group = store["layers/dense/vars"]
        del group["0"]
        make(group)

    return change


def other_file(folder: Path) -> Path:
    """A file with a kernel that nobody is to read."""
    path = folder / "secret.h5"
    with h5py.File(path, "w") as store:
        store["secret"] = np.ones((3, 2), "float32")
        store.create_group("dense/vars")["0"] = np.ones((3, 2), "float32")
        store["dense/vars/1"] = np.ones(2, "float32")
    return path


def test_cve_2026_0897_a_shape_that_the_file_cannot_hold_is_refused(little_memory: None) -> None:
    shapes = [(LARGE, 2), (3, LARGE), (LARGE,)]
    for shape in shapes:
        large = in_place_of_the_kernel(
            lambda group, shape=shape: group.create_dataset("0", shape, "float32", chunks=True)
        )
        refused(file_of(weights=large), "fit|memory")
    packed = in_place_of_the_kernel(
        lambda group: group.create_dataset("0", (1 << 20, 1 << 14), "float32", chunks=(1 << 10, 1 << 10), compression=9)
    )
    refused(file_of(weights=packed), "fit|memory")


def test_a_data_set_of_the_right_shape_without_its_numbers_is_refused() -> None:
    empty = in_place_of_the_kernel(lambda group: group.create_dataset("0", (3, 2), "float32", chunks=(3, 2)))
    refused(file_of(weights=empty), "0 are stored of it")


@pytest.mark.parametrize("units", [LARGE, 10**8])
def test_a_layer_larger_than_the_file_is_refused_before_it_is_made(units: int, little_memory: None) -> None:
    path = file_of(lambda config: config["config"]["layers"][1]["config"].update(units=units))
    refused(path, "too small to hold such a model")


def test_cve_2026_1669_data_in_another_file_is_refused(tmp_path: Path) -> None:
    secret = tmp_path / "secret.bin"
    secret.write_bytes(b"x" * 24)
    outside = in_place_of_the_kernel(
        lambda group: group.create_dataset("0", (3, 2), "float32", external=[(str(secret), 0, 24)])
    )
    refused(file_of(weights=outside), "another file")


def test_virtual_data_sets_are_refused(tmp_path: Path) -> None:
    layout = h5py.VirtualLayout((3, 2), "float32")
    layout[:] = h5py.VirtualSource(str(other_file(tmp_path)), "secret", (3, 2))
    virtual = in_place_of_the_kernel(lambda group: group.create_virtual_dataset("0", layout))
    refused(file_of(weights=virtual), "put together from other files")


@pytest.mark.parametrize("kind", ["external", "soft", "dangling"])
@pytest.mark.parametrize("place", ["layers/dense/vars/0", "layers/dense/vars", "layers/dense", "layers"])
def test_links_are_refused_at_every_part_of_a_path(kind: str, place: str, tmp_path: Path) -> None:
    secret = other_file(tmp_path)

    def change(store: Any) -> None:
        store["elsewhere"] = np.ones((3, 2), "float32")
        store.create_group("aside/vars")["0"] = np.ones((3, 2), "float32")
        del store[place]
        above, _, name = place.rpartition("/")
        group = store[above] if above else store
        group[name] = (
            h5py.SoftLink("/aside")
            if kind == "soft"
            else h5py.ExternalLink(str(secret if kind == "external" else tmp_path / "nothing.h5"), "/dense")
        )

    refused(file_of(weights=change), "link to elsewhere")
    model = honest()
    before = model.get_weights()
    with pytest.raises(SavingError, match="link to elsewhere"):
        model.load_weights("model.keras")
    for old, new in zip(before, model.get_weights(), strict=True):
        np.testing.assert_array_equal(old, new)


@pytest.mark.parametrize("dtype", ["S4", "O", h5py.ref_dtype, "complex64", np.dtype([("a", "f4")])])
def test_elements_that_are_no_numbers_are_refused(dtype: Any) -> None:
    def make(group: Any) -> None:
        kind = h5py.string_dtype() if isinstance(dtype, str) and dtype == "O" else dtype
        group.create_dataset("0", (3, 2), kind)

    refused(file_of(weights=in_place_of_the_kernel(make)), "weights are numbers")


def test_a_group_in_the_place_of_an_array_is_refused() -> None:
    refused(file_of(weights=in_place_of_the_kernel(lambda group: group.create_group("0"))), "no array")


# Archives


def archive_with(name: str, data: bytes = b"evil", **info: Any) -> Path:
    path = file_of()
    with zipfile.ZipFile(path, "a") as archive:
        member = zipfile.ZipInfo(name)
        for key, value in info.items():
            setattr(member, key, value)
        archive.writestr(member, data)
    return path


@pytest.mark.parametrize(
    "name",
    ["../evil", "../../evil", "/tmp/evil", "assets/../../evil", "..\\evil", "\\evil", "C:\\evil", "a/../../evil"],
)
def test_paths_out_of_the_archive_are_refused(name: str) -> None:
    refused(archive_with(name), "leads out of it")


def test_links_in_the_archive_are_refused() -> None:
    refused(archive_with("assets", b"/etc", external_attr=0o120777 << 16, create_system=3), "leads out of it")


def test_members_that_nobody_asked_for_are_not_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = archive_with("assets/layers/dense/evil.txt")
    opened: list[str] = []
    opens = zipfile.ZipFile.open

    def noted(archive: zipfile.ZipFile, member: Any, *args: Any, **options: Any) -> Any:
        opened.append(getattr(member, "filename", member))
        return opens(archive, member, *args, **options)

    monkeypatch.setattr(zipfile.ZipFile, "open", noted)
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    before = sorted(tmp_path.rglob("*"))
    kg.models.load_model(path)
    assert sorted(tmp_path.rglob("*")) == before
    assert "config.json" in opened and not [name for name in opened if "evil" in name]


@pytest.mark.parametrize("name", ["config.json", "model.weights.h5"])
@pytest.mark.filterwarnings("ignore:Duplicate name:UserWarning")
def test_an_archive_with_a_member_twice_is_refused(name: str) -> None:
    path = file_of()
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr(name, b"{}")
    refused(path, "two members")


def test_zip_bombs_are_refused(little_memory: None) -> None:
    for name in ("config.json", "model.weights.h5", "assets/other"):
        path = Path("model.keras")
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
            for member in {"config.json", "model.weights.h5", name}:
                archive.writestr(member, b" " * (1 << 24) if member == name else b"{}")
        refused(path, "made to fill the memory")


def test_a_member_that_lies_about_its_size_is_refused(little_memory: None) -> None:
    data = bytearray(file_of().read_bytes())
    with zipfile.ZipFile(io.BytesIO(bytes(data))) as archive:
        info = archive.getinfo("model.weights.h5")
    place = data.rindex(b"model.weights.h5") - 46
    assert data[place : place + 4] == b"PK\x01\x02"
    struct.pack_into("<II", data, place + 20, 2**31, 2**31)
    Path("model.keras").write_bytes(bytes(data))
    refused("model.keras", "made to fill the memory|damaged|no .keras file")
    assert info.file_size < 2**31


@pytest.mark.parametrize(
    "text", ["[" * 100_000, '{"a":' * 100_000, "nothing", "", "[]", "3", '{"class_name": 3, "config": 4}']
)
def test_texts_that_describe_no_model_are_refused(text: str) -> None:
    with zipfile.ZipFile("model.keras", "w") as archive:
        archive.writestr("config.json", text)
        archive.writestr("model.weights.h5", b"")
    refused("model.keras", "JSON|describe|class_name|model")
    with pytest.raises(KGraphError):
        kg.models.model_from_json(text)


def test_a_configuration_of_something_else_is_no_model() -> None:
    dense = {"module": "keras.layers", "class_name": "Dense", "config": {"units": 3}, "registered_name": None}
    refused(file_of(lambda _: dense), "describes a Dense, and no model")


@pytest.mark.parametrize("cut", [0.0, 0.3, 0.7, 0.99])
def test_files_that_were_cut_off_are_refused(cut: float) -> None:
    data = file_of().read_bytes()
    Path("model.keras").write_bytes(data[: int(len(data) * cut)])
    refused("model.keras", "no .keras file")


def test_damaged_bytes_never_give_a_model_with_other_numbers_or_another_error() -> None:
    data = file_of().read_bytes()
    draw = np.random.default_rng(0)
    model = honest()
    for place in draw.integers(0, len(data), 300):
        changed = bytearray(data)
        changed[place] ^= 1 << int(draw.integers(8))
        Path("model.keras").write_bytes(bytes(changed))
        try:
            model = kg.models.load_model("model.keras")
        except KGraphError:
            continue
        assert [weight.shape for weight in model.get_weights()] == [(3, 2), (2,)]


# Weights in safetensors


def tensors(header: Any, data: bytes = b"\0" * 32) -> Path:
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    path = Path("model.weights.h5").with_suffix(".safetensors")
    path.write_bytes(len(text).to_bytes(8, "little") + text + data)
    return path


@pytest.mark.parametrize(
    "entry",
    [
        {"dtype": "F32", "shape": [3, 2], "data_offsets": [0, 25]},
        {"dtype": "F32", "shape": [3, LARGE], "data_offsets": [0, 12 * LARGE]},
        {"dtype": "F32", "shape": [3, 2], "data_offsets": [-24, 0]},
        {"dtype": "F32", "shape": [-3, -2], "data_offsets": [0, 24]},
        {"dtype": "O", "shape": [3, 2], "data_offsets": [0, 24]},
        {"dtype": "F32", "shape": "no", "data_offsets": [0, 24]},
        {"dtype": "F32", "shape": [3, 2], "data_offsets": [LARGE, LARGE + 24]},
        3,
    ],
)
def test_arrays_outside_of_a_safetensors_file_are_refused(entry: Any) -> None:
    path = tensors({"layers/dense/vars/0": entry})
    with pytest.raises(SavingError):
        honest().load_weights(path)
    path.unlink()


@pytest.mark.parametrize(
    "start", [b"", b"\xff" * 8, (10**9).to_bytes(8, "little"), (4).to_bytes(8, "little") + b"nope"]
)
def test_a_safetensors_file_without_a_header_is_refused(start: bytes) -> None:
    path = Path("model.safetensors")
    path.write_bytes(start)
    with pytest.raises(SavingError, match="header"):
        honest().load_weights(path)
    path.unlink()
