"""From LLVM IR to machine code in memory: optimise, emit an object file, load one."""

from __future__ import annotations

import os
import threading
from collections.abc import Sequence

import llvmlite.binding as llvm

from kgraph.codegen.native.host import host

lock = threading.RLock()  # LLVM's global context is shared by all threads
if hasattr(os, "register_at_fork"):  # a child must not inherit a lock that nobody releases, nor LLVM half way
    os.register_at_fork(before=lock.acquire, after_in_parent=lock.release, after_in_child=lock.release)
_engines: list[llvm.ExecutionEngine] = []  # they own the code; closing one would unmap it under its callers
_symbols: dict[str, int] = {}


def compile_ir(text: str, unroll: bool = True) -> bytes:
    """The object file of a module, optimised for the host; `unroll` is False where the loops are unrolled already."""
    with lock:
        machine = host().target_machine()
        return machine.emit_object(_optimise(text, machine, unroll))


def assemble(text: str, unroll: bool = True) -> str:
    """The assembly of a module, optimised for the host: for reading, and for tests that do."""
    with lock:
        machine = host().target_machine()
        return machine.emit_assembly(_optimise(text, machine, unroll))


def _optimise(text: str, machine: llvm.TargetMachine, unroll: bool) -> llvm.ModuleRef:
    """Parse, verify and run LLVM's O3 pipeline with both vectorisers."""
    module = llvm.parse_assembly(text)
    module.triple = machine.triple
    module.data_layout = str(machine.target_data)
    module.verify()
    options = llvm.create_pipeline_tuning_options(speed_level=3)
    options.loop_vectorization = True
    options.slp_vectorization = True
    options.loop_unrolling = unroll
    builder = llvm.create_pass_builder(machine, options)
    builder.getModulePassManager().run(module, builder)
    return module


def load(payload: bytes, names: Sequence[str]) -> dict[str, int]:
    """Load an object file for the life of the process; the addresses of the functions named."""
    with lock:
        engine = llvm.create_mcjit_compiler(llvm.parse_assembly(""), host().target_machine())
        _engines.append(engine)
        engine.add_object_file(llvm.ObjectFileRef.from_data(payload))
        engine.finalize_object()
        return {name: engine.get_function_address(name) for name in names}


def define_symbol(name: str, address: int) -> None:
    """Let objects that are loaded later call the code at an address by name."""
    with lock:
        if _symbols.setdefault(name, address) != address:
            raise RuntimeError(f"symbol {name} is already defined, at another address")
        llvm.add_symbol(name, address)
