"""The CPU that code is made for: its target machine, vector widths, tile shapes and a name for cache keys."""

from __future__ import annotations

import hashlib
import os
import platform
from dataclasses import dataclass
from functools import lru_cache

import llvmlite
import llvmlite.binding as llvm

from kgraph.codegen.native.optimise import target_machine
from kgraph.errors import ArgumentError

_X86 = ("x86_64", "AMD64")
_ARM = ("aarch64", "arm64")


@dataclass(frozen=True)
class Host:
    """A CPU as LLVM names it, and the width of its vector registers."""

    machine: str  # "x86_64", "aarch64"
    name: str  # "znver5"; "" for the baseline of the architecture
    features: str  # "+avx2,-avx512f,..."
    bits: int  # of one vector register

    def lanes(self, dtype: str) -> int:
        """How many elements one vector register holds."""
        return self.bits // {"float32": 32, "float64": 64}[dtype]

    @property
    def is_x86(self) -> bool:
        """Whether x86 instructions (and the intrinsics named after them) exist here."""
        return self.machine in _X86

    @property
    def is_arm(self) -> bool:
        """Whether this is a 64-bit ARM."""
        return self.machine in _ARM

    @property
    def rows(self) -> int:
        """The rows of a tile: with two vectors each, plus operands, they fill the vector registers and spill none."""
        if self.bits == 512 or self.is_arm:
            return 12  # of 32 registers
        return 6 if self.bits == 256 else 4  # of 16

    def target_machine(self, shared: bool = False) -> llvm.TargetMachine:
        """A new LLVM target machine; an execution engine takes ownership of the one it is given.

        shared: for code of a shared library, which may lie anywhere in memory.
        """
        return target_machine(self.name, self.features, shared)

    def signature(self) -> str:
        """Names all that the machine code depends on besides its source: a part of every cache key."""
        digest = hashlib.sha256(f"{self.features} {llvm.get_process_triple()}".encode()).hexdigest()[:12]
        return f"{self.machine}-{self.name or 'generic'}-{digest}-llvmlite{llvmlite.__version__}"


@lru_cache(maxsize=1)
def host() -> Host:
    """The CPU of this process; KGRAPH_CPU=generic asks for the baseline of its architecture instead."""
    llvm.initialize_native_target()
    llvm.initialize_native_asmprinter()
    asked = os.environ.get("KGRAPH_CPU", "")
    if asked not in ("", "generic"):
        raise ArgumentError(f"KGRAPH_CPU must be empty or 'generic', not {asked!r}")
    machine = platform.machine()
    if asked == "generic":
        return Host(machine, "", "", 128)
    features = llvm.get_host_cpu_features()
    return Host(machine, llvm.get_host_cpu_name(), features.flatten(), _vector_bits(machine, features))


def _vector_bits(machine: str, features: dict[str, bool]) -> int:
    """The widest vectors worth using: without a fused multiply-add the wide registers gain nothing."""
    if machine not in _X86 or not features.get("fma"):
        return 128
    if features.get("avx512f") and features.get("avx512vl") and features.get("avx512dq"):
        return 512
    return 256 if features.get("avx2") else 128


def tile_shape(dtype: str, vectors: int) -> tuple[int, int]:
    """Rows and columns of the tile that is `vectors` registers wide."""
    cpu = host()
    return cpu.rows, vectors * cpu.lanes(dtype)
