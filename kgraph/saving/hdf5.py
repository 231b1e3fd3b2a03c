"""Weights in HDF5, the layout of Keras's files. Links out of a file and data outside of it are refused."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import h5py
import numpy as np

from kgraph.errors import SavingError
from kgraph.graph.types import numpy_dtype

EXPANSION = 1000  # what data may be larger than the bytes stored for it, and
ALWAYS = 1 << 20  # what it may be in any case
FILTERS = (1, 2, 3, 32000)  # deflate, shuffle, checksum, lzf: those that come with h5py


def write(file: Any, groups: Any) -> None:
    """Write groups, (path, name of the owner, its arrays by name), to an open file."""
    with h5py.File(file, "w") as store:
        for path, name, arrays in groups:
            group = store.create_group(f"{path}/vars" if path else "vars")
            if name:
                group.attrs["name"] = name
            for key, value in arrays.items():
                data = group.create_dataset(key, data=value)
                if value.dtype.name == "bfloat16":
                    data.attrs["dtype"] = "bfloat16"


@contextmanager
def undamaged(what: str) -> Iterator[None]:
    """What the library of HDF5 says of a damaged file, as an error of ours."""
    try:
        yield
    except SavingError:
        raise
    except (OSError, RuntimeError, KeyError, ValueError, TypeError, UnicodeDecodeError) as error:
        raise SavingError(f"{what} of the file is damaged: {error}") from error


class Group(Mapping[str, Any]):
    """The arrays of one owner, read when they are asked for."""

    def __init__(self, group: Any, path: str) -> None:
        self.group, self.path = group, path

    def __iter__(self) -> Iterator[str]:
        with undamaged(self.path):
            return iter(list(self.group))

    def __len__(self) -> int:
        with undamaged(self.path):
            return len(self.group)

    def dataset(self, key: str) -> Any:
        """One array, unread. SavingError unless it lies in this file and is as large as it says."""
        with undamaged(f"{self.path}/{key}"):
            return checked(child(self.group, key, self.path), f"{self.path}/{key}")

    def shape(self, key: str) -> tuple[int, ...]:
        """The shape of one array."""
        return tuple(self.dataset(key).shape)

    def __getitem__(self, key: str) -> np.ndarray:
        if key not in iter(self):
            raise SavingError(f"the file has no {self.path}/{key}")
        data = self.dataset(key)
        with undamaged(f"{self.path}/{key}"):
            value = np.asarray(data[()])
            return value.view(numpy_dtype("bfloat16")) if data.attrs.get("dtype") == "bfloat16" else value


class Reader:
    """An open file of weights."""

    def __init__(self, store: Any) -> None:
        self.store = store

    def group(self, path: str) -> Group | None:
        """The arrays of the owner at a path; None if there are none."""
        found = self.store
        with undamaged(path):
            for part in filter(None, [*path.split("/"), "vars"]):
                if not there(found, part):
                    return None
                found = child(found, part, path)
                if not isinstance(found, h5py.Group):
                    raise SavingError(f"{path!r} of the file is no group")
        return Group(found, path or "the model")

    @property
    def is_whole_model(self) -> bool:
        """Whether it has the layout of Keras 2: a whole model, or weights in the order of layers."""
        with undamaged("the head"):
            attributes = self.store.attrs
            return any(name in attributes for name in ("model_config", "layer_names", "layer_names0"))

    @property
    def layers(self) -> Any:
        """The group of layers in that layout."""
        with undamaged("model_weights"):
            inside = there(self.store, "model_weights")
            return child(self.store, "model_weights", "/") if inside else self.store


@contextmanager
def reading(file: Any) -> Iterator[Reader]:
    """Open a file (or path) of weights."""
    try:
        store = h5py.File(file, "r")
    except (OSError, ValueError, RuntimeError, KeyError) as error:
        raise SavingError(f"the weights are no HDF5 that can be read: {error}") from error
    with store:
        yield Reader(store)


def there(group: Any, name: str) -> bool:
    """Whether a group has a member. Where a link leads is not looked at: that would open other files."""
    return group.id.links.exists(name.encode())


def child(group: Any, name: str, path: str) -> Any:
    """A member of a group. SavingError for a link to another file, or to another place in this one."""
    if group.id.links.get_info(name.encode()).type != h5py.h5l.TYPE_HARD:
        raise SavingError(f"{name!r} in {path!r} is a link to elsewhere, which no file of weights needs: refused")
    return group[name]


def checked(data: Any, what: str) -> Any:
    """A data set that lies in this file, has numbers, and whose size the bytes stored for it explain."""
    if not isinstance(data, h5py.Dataset):
        raise SavingError(f"{what} of the file is no array")
    if data.external:
        raise SavingError(f"{what} has its data in another file, {data.external[0][0]!r}: refused")
    if data.is_virtual:
        raise SavingError(f"{what} is put together from other files: refused")
    if data.shape is None or not (data.dtype.kind in "biuf" or data.attrs.get("dtype") == "bfloat16"):
        raise SavingError(f"{what} has elements of type {data.dtype}, and weights are numbers")
    if data.attrs.get("dtype") == "bfloat16" and data.dtype.itemsize != 2:
        raise SavingError(f"{what} says it is bfloat16, and its elements have {data.dtype.itemsize} bytes")
    plan = data.id.get_create_plist()
    filters = [plan.get_filter(number)[0] for number in range(plan.get_nfilters())]
    if any(code not in FILTERS for code in filters):
        raise SavingError(f"{what} is packed by filter {filters}, and only deflate, shuffle and lzf are unpacked")
    declared, stored = math.prod(data.shape) * data.dtype.itemsize, data.id.get_storage_size()
    if declared > (max(ALWAYS, EXPANSION * stored) if filters else stored):
        raise SavingError(
            f"{what} says it has shape {data.shape}, {declared:,} bytes, and {stored:,} are stored of it; "
            "the file is damaged, or made to fill the memory"
        )
    return data
