"""The register of targets: what turns a fused graph into a program."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from kgraph.codegen.program import Program
from kgraph.errors import ArgumentError

TARGETS: dict[str, Callable[..., Any]] = {"cpu": Program}


def program_for(target: str) -> Callable[..., Any]:
    """The class of programs for a target; ArgumentError for a name that is none."""
    if target not in TARGETS:
        raise ArgumentError(f"unknown target {target!r}; kgraph compiles for {', '.join(TARGETS)}")
    return TARGETS[target]
