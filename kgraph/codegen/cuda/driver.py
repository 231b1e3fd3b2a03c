"""The GPU itself: memory, copies and launches, through cuda.core. All work goes through one stream, in order."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import Any

import numpy as np

from kgraph.codegen.cuda.cubin import Compiled
from kgraph.errors import MissingExtraError

Buffer = Any  # cuda.core.Buffer: device memory, freed with its last reference
Kernel = Any  # cuda.core.Kernel


@lru_cache(maxsize=1)
def available() -> bool:
    """Whether there is a GPU with a driver, and the packages to use it."""
    try:
        from cuda.bindings import driver

        (status,) = driver.cuInit(0)
        if status != driver.CUresult.CUDA_SUCCESS:
            return False
        status, count = driver.cuDeviceGetCount()
    except (ImportError, OSError, RuntimeError):  # no package, no driver, or a driver too old for the package
        return False
    return status == driver.CUresult.CUDA_SUCCESS and count > 0


class Device:
    """One GPU and one stream of work on it."""

    def __init__(self, number: int = 0) -> None:
        try:
            from cuda import core
            from cuda.bindings import driver
        except ImportError as error:
            raise MissingExtraError("running on a GPU needs cuda.core: pip install kgraph[cuda]") from error
        self._core, self._driver = core, driver
        self._device = core.Device(number)
        self.enter()
        self._stream = self._device.create_stream()

    def enter(self) -> None:
        """Let the calling thread use this GPU: what is current is known for each thread."""
        self._device.set_current()

    @property
    def compute_capability(self) -> tuple[int, int]:
        """What to compile for: (9, 0) on an H200."""
        capability = self._device.compute_capability
        return capability.major, capability.minor

    def allocate(self, nbytes: int) -> Buffer:
        """Device memory, with whatever it holds."""
        return self._device.allocate(nbytes, stream=self._stream)

    def upload(self, buffer: Buffer, array: np.ndarray) -> None:
        """Copy an array to the start of a buffer; the array may be changed when this returns."""
        source = np.ascontiguousarray(array)
        self._fits(buffer, source)
        if source.nbytes:
            copy = self._driver.cuMemcpyHtoDAsync
            self._succeed(copy(int(buffer.handle), source.ctypes.data, source.nbytes, self._stream.handle))
        self.synchronize()

    def download(self, buffer: Buffer, array: np.ndarray, offset: int = 0) -> None:
        """Copy a buffer, from an offset in bytes on, into an array, after all work that was launched before."""
        assert array.flags.c_contiguous, "a download goes into a contiguous array"
        self._fits(buffer, array, offset)
        if array.nbytes:
            copy = self._driver.cuMemcpyDtoHAsync
            self._succeed(copy(array.ctypes.data, int(buffer.handle) + offset, array.nbytes, self._stream.handle))
        self.synchronize()

    def copy(self, goal: int, source: int, nbytes: int) -> None:
        """Copy bytes on the device, from address to address, in the order of the work around it."""
        if nbytes and goal != source:
            self._succeed(self._driver.cuMemcpyDtoDAsync(goal, source, nbytes, self._stream.handle))

    def load(self, compiled: Compiled) -> Kernel:
        """Bring a kernel onto the device."""
        return self._core.ObjectCode.from_cubin(compiled.cubin).get_kernel(compiled.entry)

    def launch(
        self, kernel: Kernel, grid: tuple[int, ...], block: tuple[int, ...], arguments: Sequence[Buffer | int]
    ) -> None:
        """Start a kernel, and return at once. An int is an int64, or an address such as a place inside a buffer."""
        if 0 in grid:
            return
        config = self._core.LaunchConfig(grid=grid, block=block)
        given = [int(one) if isinstance(one, int | np.integer) else int(one.handle) for one in arguments]
        self._core.launch(self._stream, config, kernel, *given)

    def synchronize(self) -> None:
        """Wait until all work is done; errors of kernels show here."""
        self._stream.sync()

    def _fits(self, buffer: Buffer, array: np.ndarray, offset: int = 0) -> None:
        assert offset + array.nbytes <= buffer.size, f"{array.nbytes} bytes do not fit in a buffer of {buffer.size}"

    def _succeed(self, results: tuple[Any, ...]) -> None:
        if results[0] != self._driver.CUresult.CUDA_SUCCESS:
            raise RuntimeError(f"CUDA says {results[0].name}")
