"""Weights in the safetensors format: a header of JSON, and arrays one after the other.

Source of the format: https://github.com/huggingface/safetensors.
"""

from __future__ import annotations

import json
import math
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import numpy as np

from kgraph.errors import SavingError
from kgraph.graph.types import DTYPES, numpy_bits, numpy_dtype, short
from kgraph.saving.archive import parsed

CODES = {dtype: "BOOL" if dtype == "bool" else short(dtype).upper() for dtype in DTYPES}
DTYPE_OF = {code: dtype for dtype, code in CODES.items()}
LONGEST_HEADER = 100_000_000  # as in the reference


def write(file: Any, groups: Any) -> None:
    """Write groups, (path, name of the owner, its arrays by name), to an open file."""
    arrays = {f"{path}/vars/{key}".lstrip("/"): value for path, _, own in groups for key, value in own.items()}
    header: dict[str, Any] = {"__metadata__": {"format": "np"}}
    begin = 0
    for key, value in arrays.items():
        places = [begin, begin + value.nbytes]
        header[key] = {"dtype": CODES[value.dtype.name], "shape": list(value.shape), "data_offsets": places}
        begin = places[1]
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    file.write(len(text).to_bytes(8, "little") + text)
    for value in arrays.values():
        little = value.astype(value.dtype.newbyteorder("<"), copy=False) if value.dtype.byteorder == ">" else value
        file.write(np.ascontiguousarray(little).reshape(-1).view(np.uint8).data)


class Group(Mapping[str, Any]):
    """The arrays of one owner, read when they are asked for."""

    def __init__(self, reader: Reader, path: str, keys: dict[str, str]) -> None:
        self.reader, self.path, self.keys_in_file = reader, path, keys

    def __iter__(self) -> Iterator[str]:
        return iter(self.keys_in_file)

    def __len__(self) -> int:
        return len(self.keys_in_file)

    def shape(self, key: str) -> tuple[int, ...]:
        """The shape of one array."""
        return tuple(self.reader.header[self.keys_in_file[key]]["shape"])

    def __getitem__(self, key: str) -> np.ndarray:
        if key not in self.keys_in_file:
            raise SavingError(f"the file has no {self.path}/vars/{key}")
        return self.reader.array(self.keys_in_file[key])


class Reader:
    """An open file of weights."""

    is_whole_model = False

    def __init__(self, file: Any) -> None:
        self.file = file
        size = file.seek(0, os.SEEK_END)
        file.seek(0)
        length = int.from_bytes(file.read(8), "little")
        if not 2 <= length <= min(LONGEST_HEADER, size - 8):
            raise SavingError(f"the file says its header has {length:,} bytes, and it has {size:,} in all")
        header = parsed(file.read(length), "the header of the file")
        if not isinstance(header, dict):
            raise SavingError("the header of the file is no table of arrays")
        self.begin, self.header = 8 + length, {k: v for k, v in header.items() if k != "__metadata__"}
        for key, entry in self.header.items():
            check_entry(key, entry, size - self.begin)

    def group(self, path: str) -> Group | None:
        """The arrays of the owner at a path; None if there are none."""
        stem = f"{path}/vars/" if path else "vars/"
        keys = {key.removeprefix(stem): key for key in self.header if key.startswith(stem)}
        return Group(self, path, keys) if keys else None

    def array(self, key: str) -> np.ndarray:
        """One array."""
        entry = self.header[key]
        begin, end = entry["data_offsets"]
        self.file.seek(self.begin + begin)
        flat = np.frombuffer(self.file.read(end - begin), np.uint8)
        return flat.view(numpy_dtype(DTYPE_OF[entry["dtype"]])).reshape(entry["shape"])


def check_entry(key: str, entry: Any, room: int) -> None:
    """SavingError unless an array's shape, type and place fit each other and the file."""
    places = entry.get("data_offsets") if isinstance(entry, dict) else None
    shape = entry.get("shape") if isinstance(entry, dict) else None
    counts = [*(places if isinstance(places, list) else [None]), *(shape if isinstance(shape, list) else [None])]
    if any(not isinstance(one, int) or isinstance(one, bool) or one < 0 for one in counts) or len(places or ()) != 2:
        raise SavingError(f"the array {key!r} of the file has no shape and place that can be read: {entry!r:.100}")
    if entry.get("dtype") not in DTYPE_OF:
        raise SavingError(f"the array {key!r} of the file has type {entry.get('dtype')!r}, which kgraph does not know")
    size = math.prod(shape) * numpy_bits(DTYPE_OF[entry["dtype"]]) // 8  # type: ignore[arg-type]
    if places[1] - places[0] != size or places[1] > room:  # type: ignore[index]
        raise SavingError(
            f"the array {key!r} of the file has shape {shape}, {size:,} bytes, and the place {places} of {room:,}"
        )


@contextmanager
def reading(file: Any) -> Iterator[Reader]:
    """Open a file of weights."""
    yield Reader(file)
