"""The object files that the runtime is made of: which functions are in which. Each is made when first needed."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache, partial
from importlib import resources

from llvmlite import ir

from kgraph import config
from kgraph.codegen.native import python_abi
from kgraph.codegen.native.arrays import emit_arrays
from kgraph.codegen.native.contexts import SWAP, TAKE, emit_contexts
from kgraph.codegen.native.entry import ENTRY, emit_entry
from kgraph.codegen.native.epoch import EPOCH, emit_epoch
from kgraph.codegen.native.host import host
from kgraph.codegen.native.objects import compile_ir
from kgraph.codegen.native.optimise import FULL, LIGHT
from kgraph.codegen.native.pack import PACKERS, emit_packer
from kgraph.codegen.native.pool import PARALLEL, RESET, emit_pool
from kgraph.codegen.native.runner import RUN, emit_runner
from kgraph.codegen.native.store import Store
from kgraph.codegen.native.table import BEGIN, FINISH, FIT, FRESH, emit_table
from kgraph.codegen.native.tile import TILES, emit_tile


@dataclass(frozen=True)
class Part:
    """One object file: the functions in it, and who emits them."""

    names: tuple[str, ...]
    emit: Callable[[ir.Module], None]
    level: int = FULL

    def text(self) -> str:
        """Its LLVM IR."""
        module = ir.Module(f"kgraph_{self.names[0]}")
        self.emit(module)
        return str(module)

    def kept(self) -> bytes | None:
        """The object file, if this source made it on this machine before."""
        return Store(config.cache_dir()).get(self.key)

    def keep(self, code: bytes) -> bytes:
        """Let later processes find the object file."""
        Store(config.cache_dir()).put(self.key, code)
        return code

    def code(self) -> bytes:
        """The object file, kept or made."""
        return self.kept() or self.keep(compile_ir(self.text(), False, self.level))

    @property
    def key(self) -> str:
        """What the machine code depends on."""
        return f"{self.names[0]} {host().signature()} {source_digest()}"


def _emit_core(module: ir.Module) -> None:
    for emit in (emit_pool, emit_runner, emit_contexts, emit_table, emit_epoch, emit_arrays, emit_entry):
        emit(module)


_CORE = (RUN, PARALLEL, RESET, TAKE, SWAP, FIT, FRESH, BEGIN, FINISH, EPOCH, ENTRY, python_abi.PYTHON)
CORE = Part(_CORE, _emit_core, LIGHT)  # no loop in it gains from vectors
PARTS = (
    CORE,
    *(Part((name,), partial(emit_tile, name=name), LIGHT) for name in TILES),  # unrolled, and in vectors, as emitted
    *(Part((name,), partial(emit_packer, name=name)) for name in PACKERS),
)


def _emit_library(module: ir.Module) -> None:
    emit_pool(module)
    emit_runner(module)


LIBRARY = Part(("kg_library",), _emit_library, LIGHT)  # of the core what shared libraries need


def part_of(name: str) -> Part:
    """The part that a function is in."""
    return next(part for part in PARTS if name in part.names)


@lru_cache(maxsize=1)
def source_digest() -> str:
    """A digest of this package's own source: machine code made by another version of it is never loaded."""
    digest = hashlib.sha256()
    for file in sorted(resources.files(__package__).iterdir(), key=lambda entry: entry.name):
        if file.name.endswith(".py"):
            digest.update(file.read_bytes())
    return digest.hexdigest()
