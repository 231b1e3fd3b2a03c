"""The cache of machine code on disk. It may always be lost, damaged or unwritable: that costs time, never a result."""

from __future__ import annotations

import hashlib
import os
import tempfile
from contextlib import suppress
from functools import lru_cache
from pathlib import Path

_MAGIC = b"kgraph object 1\n"
_HEADER = len(_MAGIC) + hashlib.sha256().digest_size


@lru_cache(maxsize=1)
def package() -> str:
    """A digest of the code generator: a part of every key, since machine code depends on it."""
    digest, folder = hashlib.sha256(), Path(__file__).parents[1]
    for path in (*sorted(folder.rglob("*.py")), folder.parent / "ops" / "normal.py"):  # the tables of erfinv
        digest.update(path.read_bytes())
    return digest.hexdigest()


class Store:
    """Payloads by key, in memory and, if there is a directory, on disk."""

    def __init__(self, directory: Path | None) -> None:
        self.directory = directory
        self._memory: dict[str, bytes] = {}

    def get(self, key: str) -> bytes | None:
        """The payload kept under this key; None if there is none, or if what is there is not what was put."""
        if key in self._memory or self.directory is None:
            return self._memory.get(key)
        path = self._path(self.directory, key)
        try:
            entry = path.read_bytes()
        except OSError:
            return None
        payload = _open(key, entry)
        if payload is None:
            with suppress(OSError):
                path.unlink()
        else:
            self._memory[key] = payload
        return payload

    def put(self, key: str, payload: bytes) -> None:
        """Keep a payload under this key. Readers see the whole entry or none, also after a crash."""
        self._memory[key] = payload
        if self.directory is None:
            return
        with suppress(OSError):
            self.directory.mkdir(parents=True, exist_ok=True)
            _write(self._path(self.directory, key), _seal(key, payload) + payload)

    @staticmethod
    def _path(directory: Path, key: str) -> Path:
        return directory / f"{hashlib.sha256(key.encode()).hexdigest()}.o"


def _seal(key: str, payload: bytes) -> bytes:
    """The header of an entry: it fits this payload under this key, and no other."""
    return _MAGIC + hashlib.sha256(key.encode() + b"\0" + payload).digest()


def _open(key: str, entry: bytes) -> bytes | None:
    """The payload of an entry, if it is whole and was put under this key."""
    payload = entry[_HEADER:]
    return payload if entry[:_HEADER] == _seal(key, payload) else None


def _write(path: Path, entry: bytes) -> None:
    """Write a file in one step, as other processes see it."""
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=".new-")
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(entry)
        os.replace(temporary, path)
    except BaseException:
        with suppress(OSError):
            os.unlink(temporary)
        raise
