"""From LLVM IR to machine code in memory: optimise, emit an object file, load one."""

from __future__ import annotations

import os
import threading
from collections.abc import Sequence

import llvmlite.binding as llvm

from kgraph.codegen.native import optimise
from kgraph.codegen.native.host import host

lock = threading.RLock()  # LLVM's global context is shared by all threads
if hasattr(os, "register_at_fork"):  # a child must not inherit a lock that nobody releases, nor LLVM half way
    os.register_at_fork(before=lock.acquire, after_in_parent=lock.release, after_in_child=lock.release)
_engines: list[llvm.ExecutionEngine] = []  # they own the code; closing one would unmap it under its callers
_symbols: dict[str, int] = {}


def compile_ir(
    text: str | Sequence[str], unroll: bool = True, level: int = optimise.FULL, shared: bool = False
) -> bytes:
    """The object file of a module, or of several linked, optimised for the host.

    unroll is False where loops are unrolled already; shared is True for a part of a shared library.
    """
    with lock:
        machine = host().target_machine(shared)
        return machine.emit_object(optimise.optimised(several(text), machine, level, unroll))


def assemble(text: str | Sequence[str], unroll: bool = True) -> str:
    """The assembly of a module, optimised for the host: for reading, and for tests that do."""
    with lock:
        machine = host().target_machine()
        return machine.emit_assembly(optimise.optimised(several(text), machine, optimise.FULL, unroll))


def linked(texts: Sequence[str]) -> str:
    """One module's text for that of several."""
    with lock:
        return str(optimise.linked(texts))


def several(text: str | Sequence[str]) -> Sequence[str]:
    """The texts of one module or of several."""
    return (text,) if isinstance(text, str) else tuple(text)


def load(payload: bytes, names: Sequence[str]) -> dict[str, int]:
    """Load an object file for the life of the process; the addresses of the functions named."""
    return load_all([payload], names)


def load_all(payloads: Sequence[bytes], names: Sequence[str]) -> dict[str, int]:
    """Load object files whose functions have different names: in the time that one takes, nearly."""
    if not payloads:
        return {}
    with lock:
        engine = llvm.create_mcjit_compiler(llvm.parse_assembly(""), host().target_machine())
        _engines.append(engine)
        for payload in payloads:
            engine.add_object_file(llvm.ObjectFileRef.from_data(payload))
        engine.finalize_object()
        return {name: engine.get_function_address(name) for name in names}


def define_symbol(name: str, address: int) -> None:
    """Let objects that are loaded later call the code at an address by name."""
    with lock:
        if _symbols.setdefault(name, address) != address:
            raise RuntimeError(f"symbol {name} is already defined, at another address")
        llvm.add_symbol(name, address)
