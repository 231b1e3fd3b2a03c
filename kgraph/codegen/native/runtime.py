"""The native runtime of a process: tiles, pool, runner, entry; compiled once per machine, then loaded from disk."""

from __future__ import annotations

import ctypes
import os
import threading
from collections.abc import Iterable, Mapping
from types import MappingProxyType
from typing import TYPE_CHECKING

import numpy as np

from kgraph.codegen.native import python_abi
from kgraph.codegen.native.contexts import Natives
from kgraph.codegen.native.entry import ENTRY
from kgraph.codegen.native.epoch import EPOCH
from kgraph.codegen.native.objects import define_symbol, load
from kgraph.codegen.native.parts import CORE, Part, part_of
from kgraph.codegen.native.pool import RESET
from kgraph.codegen.native.runner import RUN
from kgraph.codegen.native.table import FRESH

if TYPE_CHECKING:
    from concurrent.futures import Future

_lock = threading.RLock()  # not that of objects.py: parts that are on their way may need that one
if hasattr(os, "register_at_fork"):
    os.register_at_fork(before=_lock.acquire, after_in_parent=_lock.release, after_in_child=_lock.release)
_loaded: list[Runtime] = []
LARGEST_FREED = (1 << 25) - (1 << 16)  # bytes, of which glibc takes note where they are freed: up to 32 MB


class Runtime:
    """The functions of the runtime; generated objects call them by name."""

    def __init__(self, symbols: dict[str, int]) -> None:
        self.symbols: dict[str, int] = {}
        self.add(symbols)
        word, pointer = ctypes.c_int64, ctypes.c_void_p
        self.run_at = ctypes.CFUNCTYPE(word, pointer, word, pointer, word)(symbols[RUN])  # by address; no GIL
        self.contexts = Natives(symbols)
        self.is_fresh = ctypes.CFUNCTYPE(word, word)(symbols[FRESH])  # given the address of `Weights`
        self.epoch_at = ctypes.CFUNCTYPE(word, word, word, word)(symbols[EPOCH])  # by the address of a `Job`; no GIL
        words_at = ctypes.CFUNCTYPE(word)(symbols[python_abi.PYTHON])()
        self.entry_at = symbols[ENTRY] if python_abi.tell(words_at) else 0  # 0 where calls must go through Python
        self._reset = ctypes.CFUNCTYPE(None)(symbols[RESET])
        if hasattr(os, "register_at_fork"):
            os.register_at_fork(after_in_child=self._reset)

    def add(self, symbols: Mapping[str, int]) -> None:
        """Functions that generated objects may call from now on."""
        for name, address in symbols.items():
            define_symbol(name, address)
        self.symbols.update(symbols)

    def run(self, code: np.ndarray, steps: int, frame: np.ndarray, threads: int) -> int:
        """Run an encoded plan without the GIL; 0, or what `runner.failure` takes apart."""
        return self.run_at(code.ctypes.data, steps, frame.ctypes.data, threads)


def runtime() -> Runtime:
    """The runtime of this process, compiled or loaded at its first use."""
    if not _loaded:
        need(CORE.names)
    return _loaded[0]


def need(names: Iterable[str], made: Mapping[Part, Future[bytes]] = MappingProxyType({})) -> None:
    """Let objects that are loaded from now on call these functions by name; `made` has parts that are on their way."""
    with _lock:
        for part in dict.fromkeys((CORE, *map(part_of, names))):
            if part.names[0] not in _symbols():
                code = part.keep(made[part].result()) if part in made else part.code()
                functions = load(code, part.names)
                if part is CORE:
                    keep_freed_memory()
                    _loaded.append(Runtime(functions))
                else:
                    _loaded[0].add(functions)


def keep_freed_memory() -> None:
    """Let the C library keep up to 64 MB of freed memory, where it is glibc.

    It gives memory at the end of its heap back to the system from 128 KB on, and has it given again page by page, until
    a larger block is freed for the first time. The gradients of a call, which one call frees and the next one takes,
    then cost a thousand page faults a call, in some processes and not in others.
    """
    np.empty(LARGEST_FREED, np.uint8)


def missing(names: Iterable[str]) -> list[Part]:
    """The parts with these functions that neither this process nor the disk has."""
    parts = dict.fromkeys((CORE, *map(part_of, names)))
    return [part for part in parts if part.names[0] not in _symbols() and part.kept() is None]


def _symbols() -> Mapping[str, int]:
    return _loaded[0].symbols if _loaded else {}
