"""The steps of a program on a GPU, followed on a device of numpy arrays that runs kernels by emulation."""

from __future__ import annotations

import ctypes
import threading
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest

from kgraph import ops
from kgraph.codegen.cuda import machine as cuda_machine
from kgraph.codegen.cuda import printer
from kgraph.codegen.cuda.cubin import Compiled
from kgraph.codegen.cuda.emulate import emulate
from kgraph.codegen.cuda.machine import ENTRY, Gpu, helpers_of
from kgraph.codegen.cuda.program import CudaProgram
from kgraph.codegen.schedule.kernel import Check, Kernel
from kgraph.errors import RangeError
from kgraph.graph.sizes import N
from kgraph.graph.types import TensorType, numpy_dtype
from kgraph.passes.fuse import fuse
from kgraph.tracing.trace import trace
from kgraph.tracing.variable import Variable


class Memory:
    """Stands for a buffer on a device: its address is that of an array."""

    def __init__(self, nbytes: int) -> None:
        self.bytes = np.full(nbytes, 0xFF, np.uint8)
        self.handle, self.size = self.bytes.ctypes.data, nbytes


class NumpyDevice:
    """Has the methods of driver.Device, and notes what it was asked for."""

    compute_capability = (9, 0)

    def __init__(self) -> None:
        self.memories: list[Memory] = []
        self.kernels: dict[str, Kernel] = {}
        self.entered: set[int] = set()
        self.uploads: list[int] = []  # bytes of each
        self.compiled = 0

    def enter(self) -> None:
        self.entered.add(threading.get_ident())

    def allocate(self, nbytes: int) -> Memory:
        assert nbytes > 0, "a GPU gives no memory of no size"
        self.memories.append(Memory(nbytes))
        return self.memories[-1]

    def upload(self, memory: Memory, array: np.ndarray) -> None:
        self.uploads.append(array.nbytes)
        ctypes.memmove(memory.handle, np.ascontiguousarray(array).ctypes.data, array.nbytes)

    def download(self, memory: Memory, array: np.ndarray, offset: int = 0) -> None:
        ctypes.memmove(array.ctypes.data, memory.handle + offset, array.nbytes)

    def copy(self, goal: int, source: int, nbytes: int) -> None:
        ctypes.memmove(goal, source, nbytes)

    def compile(self, kernel: Kernel, capability: tuple[int, int]) -> Compiled:
        self.compiled += 1
        self.kernels[printer.source(kernel)] = kernel
        return Compiled(ENTRY, "", printer.source(kernel).encode(), 0, 0)

    def load(self, compiled: Compiled) -> str:
        return compiled.cubin.decode()

    def launch(self, text: str, grid: tuple[int], block: tuple[int, ...], arguments: Sequence[int]) -> None:
        assert all(type(one) is int for one in arguments)
        kernel = self.kernels[text]
        kinds = [one.dtype for one in kernel.parameters] + ["int32"] * isinstance(kernel.schedule, Check)
        pointers = [self.array(address, dtype) for address, dtype in zip(arguments, kinds, strict=False)]
        given = [*pointers, *arguments[len(pointers) :]]
        emulate(text, ENTRY, grid, block, given, helpers_of(kernel.dtype))

    def array(self, address: int, dtype: str) -> np.ndarray:
        """The memory from an address on."""
        memory = next(one for one in self.memories if one.handle <= address < one.handle + one.size)
        kind = numpy_dtype("uint8" if dtype == "bool" else dtype)
        rest = memory.bytes[address - memory.handle :]
        return rest[: len(rest) // kind.itemsize * kind.itemsize].view(kind)


@pytest.fixture
def device(monkeypatch: pytest.MonkeyPatch) -> NumpyDevice:
    """A program made in this test runs on this device; no text is kept on disk as if it were machine code."""
    made = NumpyDevice()
    monkeypatch.setenv("KGRAPH_CUDA", "")
    monkeypatch.setenv("KGRAPH_CACHE_DIR", "")
    monkeypatch.setattr(cuda_machine.driver, "Device", lambda: made)
    monkeypatch.setattr(cuda_machine, "compiled", made.compile)
    gpu = Gpu()
    monkeypatch.setattr("kgraph.codegen.cuda.program.machine", lambda: gpu)
    return made


def floats(*shape: Any) -> TensorType:
    return TensorType(shape, "float32")


def test_a_program_runs_in_one_arena_with_its_weights_on_the_device(device: NumpyDevice) -> None:
    weight, total = Variable(np.full((3, 2), 2.0, np.float32)), Variable(np.zeros((), np.float32))

    def call(x: Any) -> Any:
        hidden = ops.exp(x @ (weight * 0.5))
        total.assign(total + ops.sum(hidden))
        return ops.sum(hidden @ ops.transpose(hidden, axes=(1, 0)), axis=0)

    program = CudaProgram(fuse(trace(call, floats(N, 3))))
    for rows in (4, 5, 0, 4):
        x, y = np.full((rows, 3), 0.1, np.float32), np.empty(rows, np.float32)
        updates = program.run([x], [y], {"N": rows})
        np.testing.assert_allclose(y, np.full(rows, rows * 2 * np.exp(0.6)), rtol=1e-5)
        np.testing.assert_allclose(updates[total], rows * 2 * np.exp(0.3), rtol=1e-5)
    assert device.uploads.count(weight.value.nbytes) == 1


def test_kernels_are_compiled_once_for_all_programs(device: NumpyDevice) -> None:
    for _ in range(2):
        CudaProgram(fuse(trace(lambda x: ops.exp(x) * 2.0, floats(N, 3))))
    assert device.compiled == 1


def test_a_wrong_index_is_refused_and_the_next_call_runs(device: NumpyDevice) -> None:
    program = CudaProgram(fuse(trace(lambda t, at: ops.take(t, at, axis=0), floats(4, 2), TensorType((N,), "int32"))))
    table, y = np.arange(8, dtype=np.float32).reshape(4, 2), np.empty((2, 2), np.float32)
    with pytest.raises(RangeError, match="index 9"):
        program.run([table, np.array([0, 9], np.int32)], [y], {"N": 2})
    program.run([table, np.array([0, -1], np.int32)], [y], {"N": 2})
    assert y.tolist() == [[0, 1], [6, 7]]


def test_any_thread_may_call(device: NumpyDevice) -> None:
    program = CudaProgram(fuse(trace(lambda x: x * 2.0, floats(N))))
    results = [np.empty(3, np.float32) for _ in range(4)]
    inputs = [np.full(3, number, np.float32) for number in range(4)]
    threads = [
        threading.Thread(target=program.run, args=([x], [y], {"N": 3})) for x, y in zip(inputs, results, strict=True)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [y.tolist() for y in results] == [[2.0 * number] * 3 for number in range(4)]
    assert len(device.entered) >= 2
