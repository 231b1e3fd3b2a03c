"""What runs CUDA kernels: a GPU, or its emulation thread by thread on the CPU. Both have the same methods."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import lru_cache
from typing import Any

import numpy as np

from kgraph import config
from kgraph.codegen.cuda import driver, printer
from kgraph.codegen.cuda.cubin import Compiled, compile_kernel
from kgraph.codegen.cuda.emulate import emulate
from kgraph.codegen.cuda.halves import AMPERE
from kgraph.codegen.cuda.team import GPU, TINY, Geometry
from kgraph.codegen.native.store import Store, package
from kgraph.codegen.scalars.table import scalars
from kgraph.codegen.schedule.kernel import Check, Kernel
from kgraph.errors import KGraphError
from kgraph.graph.sizes import resolve
from kgraph.graph.types import memory_dtype

ENTRY = "kernel"
POISON = 0xFF  # in every byte: NaN, -1, or the largest number
DEFAULT_CAPABILITY = (9, 0)


class Emulator:
    """Runs the printed text on numpy arrays that start as NaN; geometries are small, so that small shapes are quick."""

    geometry = TINY

    def enter(self) -> None:
        """Nothing: any thread may call."""

    def allocate(self, nbytes: int) -> np.ndarray:
        """Poisoned memory."""
        return np.full(nbytes, POISON, np.uint8)

    def clear(self, memory: np.ndarray) -> None:
        """Poison memory that is used again."""
        memory.fill(POISON)

    def upload(self, memory: np.ndarray, array: np.ndarray) -> None:
        """Copy an array to the start of memory."""
        memory[: array.nbytes] = np.ascontiguousarray(array).reshape(-1).view(np.uint8)

    def download(self, memory: np.ndarray, array: np.ndarray, offset: int = 0) -> None:
        """Copy memory from an offset on into an array."""
        array.reshape(-1).view(np.uint8)[:] = memory[offset : offset + array.nbytes]

    def copy(self, goal: tuple[np.ndarray, int], source: tuple[np.ndarray, int], nbytes: int) -> None:
        """Copy bytes from one place, a memory and an offset, to another."""
        (to, start), (memory, offset) = goal, source
        to[start : start + nbytes] = memory[offset : offset + nbytes]

    def pointer(self, memory: np.ndarray, offset: int, elements: int, dtype: str) -> np.ndarray:
        """What a kernel is given for a value at an offset."""
        kind = np.dtype(memory_dtype(dtype))
        return memory[offset : offset + elements * kind.itemsize].view(kind)

    def load(self, kernel: Kernel) -> str:
        """The text that is run."""
        return printer.source(kernel, self.geometry)

    def launch(self, loaded: str, grid: int, kernel: Kernel, arguments: Sequence[Any]) -> None:
        """Run all threads of a kernel."""
        threads = printer.launch(kernel, self.geometry).threads
        emulate(loaded, ENTRY, (grid,), threads, arguments, helpers_of(kernel.dtype))


class Gpu:
    """Runs the compiled kernels on the first GPU."""

    def __init__(self) -> None:
        self._device = driver.Device()
        self.geometry = geometry_of(self._device.compute_capability)
        self._loaded: dict[str, Any] = {}

    def enter(self) -> None:
        """Let the calling thread use the GPU."""
        self._device.enter()

    def allocate(self, nbytes: int) -> Any:
        """Device memory."""
        return self._device.allocate(max(1, nbytes))

    def clear(self, memory: Any) -> None:
        """Nothing: kernels write before they read."""

    def upload(self, memory: Any, array: np.ndarray) -> None:
        """Copy an array to the device."""
        self._device.upload(memory, array)

    def download(self, memory: Any, array: np.ndarray, offset: int = 0) -> None:
        """Copy from the device, after all that was launched."""
        self._device.download(memory, array, offset)

    def copy(self, goal: tuple[Any, int], source: tuple[Any, int], nbytes: int) -> None:
        """Copy bytes from one place, a memory and an offset, to another."""
        self._device.copy(int(goal[0].handle) + goal[1], int(source[0].handle) + source[1], nbytes)

    def pointer(self, memory: Any, offset: int, elements: int, dtype: str) -> int:
        """What a kernel is given for a value at an offset."""
        return int(memory.handle) + offset

    def load(self, kernel: Kernel) -> Any:
        """The kernel on the device, compiled unless this process or the disk has it."""
        capability = self._device.compute_capability
        key = key_of(kernel, capability)
        if key not in self._loaded:
            store = Store(config.cache_dir())
            cubin = store.get(key)
            if cubin is None:
                cubin = compiled(kernel, capability).cubin
                store.put(key, cubin)
            self._loaded[key] = self._device.load(Compiled(ENTRY, "", cubin, 0, 0))
        return self._loaded[key]

    def launch(self, loaded: Any, grid: int, kernel: Kernel, arguments: Sequence[Any]) -> None:
        """Start a kernel."""
        self._device.launch(loaded, (grid,), printer.launch(kernel, self.geometry).threads, arguments)


def machine() -> Emulator | Gpu:
    """The emulation where KGRAPH_CUDA=emulate asks for it, else the GPU; KGraphError where there is none."""
    if config.emulate_cuda():
        return Emulator()
    if driver.available():
        return gpu()
    raise KGraphError(
        'target="cuda" needs a GPU with its driver and `pip install kgraph[cuda]`, and one of them is missing; '
        "lower_only=True makes sources and PTX without them, KGRAPH_CUDA=emulate runs the kernels on the CPU, slowly"
    )


@lru_cache(maxsize=1)
def gpu() -> Gpu:
    """The GPU that all programs share."""
    return Gpu()


def grid_of(kernel: Kernel, sizes: Mapping[str, int], geometry: Geometry) -> int:
    """How many blocks run the kernel, in the kernel's own names of the sizes."""
    return int(resolve(printer.launch(kernel, geometry).blocks, sizes))


def geometry_of(capability: tuple[int, int]) -> Geometry:
    """How threads share the work on a GPU of this compute capability."""
    return replace(GPU, tensor_cores=capability >= AMPERE)


def compiled(kernel: Kernel, capability: tuple[int, int] = DEFAULT_CAPABILITY) -> Compiled:
    """The kernel as PTX and cubin; MissingExtraError without numba-cuda."""
    text, found = printer.printed(kernel, geometry_of(capability))
    threads = int(np.prod(found.threads))
    return compile_kernel(text, ENTRY, argument_types(kernel), capability, helpers_of(kernel.dtype), threads)


def argument_types(kernel: Kernel) -> list[str]:
    """The types of a printed kernel's arguments."""
    flag = ["int32*"] * isinstance(kernel.schedule, Check)
    return [*(f"{one.dtype}*" for one in kernel.parameters), *flag, *["int64"] * len(kernel.sizes)]


@lru_cache(maxsize=4)
def helpers_of(dtype: str) -> Mapping[str, Any]:
    """The scalar functions that kernels call."""
    return scalars(dtype, target="cuda")


def key_of(kernel: Kernel, capability: tuple[int, int]) -> str:
    """What a cubin depends on: the text, the types, the GPU, and this package."""
    kinds = ",".join(argument_types(kernel))
    return "\n".join(
        ["cubin", str(capability), package(), kernel.dtype, kinds, printer.source(kernel, geometry_of(capability))]
    )
