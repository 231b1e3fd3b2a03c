"""Keras's archives, as they are read: members by name, in memory, and no larger than the file can hold."""

from __future__ import annotations

import io
import json
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, BinaryIO

from kgraph.errors import SavingError

CONFIG, METADATA, WEIGHTS = "config.json", "metadata.json", "model.weights.h5"
EXPANSION = 300  # what a member may be larger than the bytes stored for it, and
ALWAYS = 1 << 20  # what it may be in any case
LONGEST_CONFIG = 1 << 28


class Archive:
    """An open archive. Nothing is ever extracted to disk."""

    def __init__(self, file: BinaryIO) -> None:
        self.file = file
        file.seek(0, io.SEEK_END)
        self.size = file.tell()
        file.seek(0)
        try:
            self.zip = zipfile.ZipFile(file)
        except (zipfile.BadZipFile, ValueError, OSError, RuntimeError) as error:
            raise SavingError(f"this is no .keras file: {error}") from error
        names = self.zip.namelist()
        for info in self.zip.infolist():
            self._check(info, names)

    def _check(self, info: zipfile.ZipInfo, names: list[str]) -> None:
        """Refuse what no honest archive has."""
        name = info.filename
        parts = name.replace("\\", "/").split("/")
        if name.startswith(("/", "\\")) or ".." in parts or ":" in parts[0] or (info.external_attr >> 28) == 0xA:
            raise SavingError(f"the archive has a member {name!r}, which leads out of it; it is made to do harm")
        if names.count(name) > 1 and name in (CONFIG, METADATA, WEIGHTS):
            raise SavingError(f"the archive has two members {name!r}")
        if info.flag_bits & 1:
            raise SavingError(f"the member {name!r} of the archive is encrypted")
        if info.file_size > max(ALWAYS, EXPANSION * info.compress_size) or info.compress_size > self.size:
            raise SavingError(
                f"the member {name!r} of the archive says it has {info.file_size:,} bytes, and {info.compress_size:,} "
                f"are stored of it in a file of {self.size:,}; it is damaged, or made to fill the memory"
            )

    def json(self, name: str) -> Any:
        """The data of a JSON member."""
        info = self._info(name)
        if info.file_size > LONGEST_CONFIG:
            raise SavingError(f"{name!r} has {info.file_size:,} bytes, more than any configuration needs")
        return parsed(self._bytes(info), name)

    def _info(self, name: str) -> zipfile.ZipInfo:
        if name not in self.zip.namelist():
            raise SavingError(f"the archive has no {name!r}; its members are {self.zip.namelist()[:9]}")
        return self.zip.getinfo(name)

    def _bytes(self, info: zipfile.ZipInfo) -> bytes:
        try:
            return self.zip.read(info)
        except (zipfile.BadZipFile, EOFError, OSError, RuntimeError, NotImplementedError, ValueError) as error:
            raise SavingError(f"the member {info.filename!r} of the archive is damaged: {error}") from error
        except Exception as error:
            if type(error).__module__ in ("zlib", "lzma"):
                raise SavingError(f"the member {info.filename!r} of the archive is damaged: {error}") from error
            raise

    @contextmanager
    def weights(self) -> Iterator[BinaryIO]:
        """The weights as a file: read where they lie if they are stored as they are, else unpacked to memory."""
        if "model.weights.npz" in self.zip.namelist() and WEIGHTS not in self.zip.namelist():
            raise SavingError("the archive has its weights as .npz, which kgraph does not read; save it as HDF5")
        info = self._info(WEIGHTS)
        if info.compress_type != zipfile.ZIP_STORED:
            yield io.BytesIO(self._bytes(info))
            return
        with io.BufferedReader(Window(self.file, self._begin(info), info.file_size)) as window:
            yield window

    def _begin(self, info: zipfile.ZipInfo) -> int:
        """Where the bytes of a member begin: behind its own header, whose length stands in it."""
        self.file.seek(info.header_offset)
        header = self.file.read(30)
        if len(header) < 30 or header[:4] != b"PK\x03\x04":
            raise SavingError(f"the member {info.filename!r} of the archive is damaged: it has no header")
        begin = info.header_offset + 30 + int.from_bytes(header[26:28], "little")
        begin += int.from_bytes(header[28:30], "little")
        if begin + info.file_size > self.size:
            raise SavingError(f"the member {info.filename!r} of the archive is cut off")
        return begin


class Window(io.RawIOBase):
    """A part of a file, as a file."""

    def __init__(self, file: BinaryIO, begin: int, size: int) -> None:
        self.file, self.begin, self.size, self.place = file, begin, size, 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self.place

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        base = {io.SEEK_SET: 0, io.SEEK_CUR: self.place, io.SEEK_END: self.size}[whence]
        self.place = max(0, base + offset)
        return self.place

    def readinto(self, buffer: Any) -> int:
        view = memoryview(buffer).cast("B")
        count = max(0, min(len(view), self.size - self.place))
        self.file.seek(self.begin + self.place)
        read = self.file.readinto(view[:count]) if count else 0  # type: ignore[attr-defined]
        self.place += read
        return read


def parsed(text: bytes | str, what: str) -> Any:
    """The data of a JSON text."""
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        raise SavingError(f"{what} is no JSON that can be read: {type(error).__name__}: {error}") from error
