"""From LLVM's text to an object file: link, optimise for a CPU, emit. Also the program of a helper process.

A helper (see workshop.py) runs this file and nothing else of kgraph, so that it starts quickly: it imports llvmlite's
binding and no other package.
"""

from __future__ import annotations

import marshal
import os
import signal
import sys
from collections.abc import Sequence

import llvmlite.binding as llvm

Texts = Sequence[str]
FULL, LIGHT = 3, 1  # of LLVM's levels; the light one is for code that is unrolled and in vectors already


def target_machine(cpu: str, features: str, shared: bool = False) -> llvm.TargetMachine:
    """A new LLVM target machine for this process's architecture; shared: for code of a shared library."""
    llvm.initialize_native_target()
    llvm.initialize_native_asmprinter()
    target = llvm.Target.from_triple(llvm.get_process_triple())
    if not shared:
        return target.create_target_machine(cpu=cpu, features=features, opt=3, jit=True)
    llvm.initialize_native_asmparser()
    return target.create_target_machine(cpu=cpu, features=features, opt=3, reloc="pic", codemodel="default")


def linked(texts: Texts) -> llvm.ModuleRef:
    """The module of these texts; the first says what it is called, later ones are what it needs."""
    first, *others = texts
    module = llvm.parse_assembly(first)
    for other in others:
        module.link_in(llvm.parse_assembly(other))
    return module


def optimised(texts: Texts, machine: llvm.TargetMachine, level: int, unroll: bool) -> llvm.ModuleRef:
    """The texts linked, verified and taken through LLVM's pipeline, with both vectorisers at the full level."""
    module = linked(texts)
    module.triple = machine.triple
    module.data_layout = str(machine.target_data)
    module.verify()
    options = llvm.create_pipeline_tuning_options(speed_level=level)
    options.loop_vectorization = options.slp_vectorization = level == FULL
    options.loop_unrolling = unroll
    builder = llvm.create_pass_builder(machine, options)
    builder.getModulePassManager().run(module, builder)
    return module


def serve() -> None:
    """Make object files of requests until there are no more; what goes wrong is answered as text."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the process that asks
    machine = None
    while True:
        try:
            cpu, features, shared, *rest = marshal.load(sys.stdin.buffer)
        except EOFError:
            os._exit(0)
        try:
            machine = machine or target_machine(cpu, features, shared)  # the same for all that one process asks
            answer = machine.emit_object(optimised(rest[0], machine, *rest[1:]))
        except Exception as error:
            answer = f"{type(error).__name__}: {error}"
        marshal.dump(answer, sys.stdout.buffer)
        sys.stdout.buffer.flush()


if __name__ == "__main__":
    serve()
