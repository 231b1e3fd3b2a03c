"""The register of targets: what turns a fused graph into a program. Each is imported when it is first asked for."""

from __future__ import annotations

from importlib import import_module
from typing import Any

from kgraph.errors import ArgumentError

TARGETS = {"cpu": ("kgraph.codegen.cpu.program", "Program"), "cuda": ("kgraph.codegen.cuda.program", "CudaProgram")}


def program_for(target: str) -> Any:
    """The class of programs for a target; ArgumentError for a name that is none."""
    if target not in TARGETS:
        raise ArgumentError(f"unknown target {target!r}; kgraph compiles for {', '.join(TARGETS)}")
    module, name = TARGETS[target]
    return getattr(import_module(module), name)
