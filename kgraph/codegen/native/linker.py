"""From object files to a shared library: whatever links on this machine, or else the package ziglang."""

from __future__ import annotations

import ctypes
import os
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

from kgraph.errors import ArgumentError, MissingExtraError, SavingError

COMPILERS, LINKERS = ("cc", "gcc", "clang"), ("ld", "ld.lld")
_LIBRARIES = r"/(?:libc|libm|libc\.musl-\w+|ld-musl-\w+)(?:-[\d.]+)?\.so[.\d]*$"  # where they are in a process's memory
_EXPORTS = "exports.map"
_SHOWN = 2000  # characters of what a linker says


@dataclass(frozen=True)
class Linker:
    """A program that links: as a compiler does, which knows where the C library is, or by itself."""

    command: tuple[str, ...]
    is_compiler: bool

    def arguments(self, objects: Sequence[str], output: str, name: str) -> list[str]:
        """The whole command. The library is never unloaded, since threads of its pool run in it."""
        options = ["-soname", name, f"--version-script={_EXPORTS}", "-z", "nodelete", "-z", "noexecstack", "-z", "defs"]
        if self.is_compiler:
            passed = [word for option in options for word in ("-Xlinker", option)]
            return [*self.command, "-shared", "-o", output, *objects, *passed, "-lm", "-lpthread"]
        return [*self.command, "-shared", "-o", output, *objects, *options, *_libraries()]


def find() -> list[Linker]:
    """What may link here, in order. MissingExtraError if there is nothing."""
    found = list(_installed())
    if not found:
        raise MissingExtraError(
            f"a shared library must be linked, and here is no {', '.join(COMPILERS + LINKERS)}: pip install "
            "kgraph[export], or say in the environment variable CC what is the C compiler"
        )
    return found


def _installed() -> Iterator[Linker]:
    asked = shlex.split(os.environ.get("CC", ""))
    if asked and shutil.which(asked[0]):
        yield Linker(tuple(asked), True)
    yield from (Linker((path,), True) for name in COMPILERS if (path := shutil.which(name)))
    yield from (Linker((path,), False) for name in LINKERS if (path := shutil.which(name)))
    if find_spec("ziglang") is not None:
        yield Linker((sys.executable, "-m", "ziglang", "cc"), True)


def check_name(function: str) -> None:
    """ArgumentError for the name of a function that the C library has: it would take that one's place in programs."""
    if any(hasattr(ctypes.CDLL(path), function) for path in _libraries()):
        raise ArgumentError(f"the C library has a function {function} already; export to another name")


def link(folder: Path, objects: Sequence[str], output: str, name: str, function: str) -> None:
    """Link object files in a folder to a library there, which exports one function and will be called `name`.

    SavingError: nothing that is installed can.
    """
    (folder / _EXPORTS).write_text(f"{{ global: {function}; local: *; }};\n", encoding="ascii")
    said = []
    for one in find():
        answer = subprocess.run(
            one.arguments(objects, output, name), cwd=folder, capture_output=True, text=True, errors="replace"
        )
        if answer.returncode == 0 and (folder / output).exists():
            return
        said.append(f"{shlex.join(one.command)}: {(answer.stderr or answer.stdout).strip()[:_SHOWN]}")
    raise SavingError("the shared library could not be linked; " + "\n".join(said))


def _libraries() -> list[str]:
    """The files of the C library that this process uses: a linker by itself does not know where they are."""
    maps = Path("/proc/self/maps").read_text(encoding="utf-8", errors="replace").splitlines()
    paths = dict.fromkeys(line.split(maxsplit=5)[-1] for line in maps)
    return [path for path in paths if re.search(_LIBRARIES, path)]
