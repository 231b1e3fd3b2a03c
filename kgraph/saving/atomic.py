"""Files that are whole or not there: written beside their place, and put there in one step."""

from __future__ import annotations

import io
import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from kgraph.errors import SavingError


@contextmanager
def written_whole(place: Any, overwrite: bool = True) -> Iterator[Any]:
    """A file to write to. It takes the place of the old one when the block ends well, and only then.

    place is a path, or a file open for writing, which gets the bytes as they come. Whoever opens the path meanwhile,
    or after the process died, finds the old file. SavingError if there is one and overwrite is False.
    """
    if isinstance(place, io.IOBase):
        yield place
        return
    path = Path(os.path.realpath(place))  # a link stays a link
    if path.is_dir():
        raise SavingError(f"{path} is a directory, and no place for a file")
    if path.exists() and not overwrite:
        raise SavingError(f"{path} is there already; give overwrite=True to put a new file in its place")
    if not path.parent.is_dir():
        raise SavingError(f"there is no directory {path.parent} to write {path.name} into")
    mode = path.stat().st_mode & 0o777 if path.exists() else None
    beside = path.with_name(f".{path.name}.{secrets.token_hex(6)}.tmp")
    try:
        with open(beside, "x+b") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        if mode is not None:
            beside.chmod(mode)
        os.replace(beside, path)
    except BaseException:
        with suppress(OSError):
            beside.unlink()
        raise
    _settle(path.parent)


def _settle(directory: Path) -> None:
    """Have the directory on disk too, where the system lets one open directories."""
    with suppress(OSError):
        handle = os.open(directory, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)
