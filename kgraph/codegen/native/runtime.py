"""The native runtime of a process: tiles, pool, runner, entry; compiled once per machine, then loaded from disk."""

from __future__ import annotations

import ctypes
import hashlib
import os
from collections.abc import Callable
from functools import lru_cache
from importlib import resources

import numpy as np
from llvmlite import ir

from kgraph import config
from kgraph.codegen.native import python_abi
from kgraph.codegen.native.arrays import emit_arrays
from kgraph.codegen.native.contexts import SWAP, TAKE, Natives, emit_contexts
from kgraph.codegen.native.entry import ENTRY, emit_entry
from kgraph.codegen.native.host import host
from kgraph.codegen.native.objects import compile_ir, define_symbol, load, lock
from kgraph.codegen.native.pack import PACKERS, emit_packers
from kgraph.codegen.native.pool import PARALLEL, RESET, emit_pool
from kgraph.codegen.native.runner import RUN, emit_runner
from kgraph.codegen.native.store import Store
from kgraph.codegen.native.table import BEGIN, FINISH, FIT, FRESH, emit_table
from kgraph.codegen.native.tile import emit_tiles, tiles_of

_CALLS = (TAKE, SWAP, FIT, FRESH, BEGIN, FINISH, ENTRY, python_abi.PYTHON)
_NAMES = (*tiles_of("float32"), *PACKERS, PARALLEL, RESET, RUN, *_CALLS)
_loaded: list[Runtime] = []


class Runtime:
    """The functions of the runtime; generated objects call them by name."""

    def __init__(self, symbols: dict[str, int]) -> None:
        self.symbols = symbols
        for name, address in symbols.items():
            define_symbol(name, address)
        word, pointer = ctypes.c_int64, ctypes.c_void_p
        self.run_at = ctypes.CFUNCTYPE(word, pointer, word, pointer, word)(symbols[RUN])  # by address; no GIL
        self.contexts = Natives(symbols)
        self.is_fresh = ctypes.CFUNCTYPE(word, word)(symbols[FRESH])  # given the address of `Weights`
        words_at = ctypes.CFUNCTYPE(word)(symbols[python_abi.PYTHON])()
        self.entry_at = symbols[ENTRY] if python_abi.tell(words_at) else 0  # 0 where calls must go through Python
        self._reset = ctypes.CFUNCTYPE(None)(symbols[RESET])
        if hasattr(os, "register_at_fork"):
            os.register_at_fork(after_in_child=self._reset)

    def run(self, code: np.ndarray, steps: int, frame: np.ndarray, threads: int) -> int:
        """Run an encoded plan without the GIL; 0, or what `runner.failure` takes apart."""
        return self.run_at(code.ctypes.data, steps, frame.ctypes.data, threads)


def runtime() -> Runtime:
    """The runtime of this process, compiled or loaded at its first use."""
    with lock:
        if not _loaded:
            _loaded.append(Runtime(load(_object("runtime", emit_runtime), _NAMES)))
        return _loaded[0]


def need_tiles(dtype: str) -> None:
    """Let objects that are loaded from now on call the tiles of this dtype by name; float32's are always there."""
    with lock:
        symbols, names = runtime().symbols, tiles_of(dtype)
        if names[0] not in symbols:
            made = load(_object(f"tiles {dtype}", lambda: emit_more_tiles(dtype)), names)
            for name, address in made.items():
                define_symbol(name, address)
            symbols.update(made)


def emit_runtime() -> str:
    """The LLVM IR of the runtime."""
    module = ir.Module("kgraph_runtime")
    emit_tiles(module, "float32")
    emit_packers(module)
    emit_pool(module)
    emit_runner(module)
    emit_contexts(module)
    emit_table(module)
    emit_arrays(module)
    emit_entry(module)
    return str(module)


def emit_more_tiles(dtype: str) -> str:
    """The LLVM IR of the tiles of another dtype."""
    module = ir.Module(f"kgraph_tiles_{dtype}")
    emit_tiles(module, dtype)
    return str(module)


def _object(name: str, emit: Callable[[], str]) -> bytes:
    """An object file of the runtime, from the store if this source made it there before."""
    store, key = Store(config.cache_dir()), f"{name} {host().signature()} {source_digest()}"
    payload = store.get(key)
    if payload is None:
        payload = compile_ir(emit(), unroll=False)
        store.put(key, payload)
    return payload


@lru_cache(maxsize=1)
def source_digest() -> str:
    """A digest of this package's own source: machine code made by another version of it is never loaded."""
    digest = hashlib.sha256()
    for file in sorted(resources.files(__package__).iterdir(), key=lambda entry: entry.name):
        if file.name.endswith(".py"):
            digest.update(file.read_bytes())
    return digest.hexdigest()
