"""Files made to do harm: weights elsewhere, larger than their file, or no numbers, in HDF5 and in safetensors."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from harmful_files import LARGE, file_of, honest, refused

from kgraph.errors import SavingError

pytestmark = pytest.mark.usefixtures("first_use", "nothing_happens")


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
