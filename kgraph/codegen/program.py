"""A plan with machine code: arrays in, arrays out. Safe to call from many threads, and after a fork."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from kgraph import config
from kgraph.codegen import jit
from kgraph.codegen.layout import layout
from kgraph.codegen.native.host import tile_shape
from kgraph.codegen.native.objects import lock
from kgraph.codegen.native.runner import Step as Record
from kgraph.codegen.native.runner import encode, failure
from kgraph.codegen.native.runtime import runtime
from kgraph.codegen.packing import native_packer
from kgraph.codegen.plan import Plan, Step, plan
from kgraph.codegen.refusal import refusal
from kgraph.codegen.show import line_above, shown_source
from kgraph.errors import ArgumentError
from kgraph.ir import Graph
from kgraph.sizes import axes_of, resolve, substitute
from kgraph.types import numpy_dtype

MOST_CONTEXTS = 16  # combinations of sizes whose memory is kept for the next call


@dataclass
class Context:
    """The memory of one call under way: the arena, and the frame of addresses and sizes that kernels read."""

    frame: np.ndarray
    frame_at: int  # its address
    arena: np.ndarray


class Program:
    """The CPU's kernels of one graph, in order. inputs and outputs are arrays of the right dtype, in C order."""

    def __init__(self, graph: Graph, threads: int | None = None, lower_only: bool = False) -> None:
        self.plan: Plan = plan(graph, tile_shape)
        self.threads = threads or config.num_threads()
        self._slots: dict[Any, int] = {}
        if not lower_only:
            self._load()

    def _load(self) -> None:
        """Machine code, and the memory that outlives a call."""
        self._code = self._encoded(self.plan.steps)
        self._prepare = self._encoded(self.plan.prepare)
        self._constants = self._constant_arrays()
        self._params = [(node.name, node.attrs["variable"]) for node in self.plan.graph if node.op == "param"]
        self._prepared = {
            name: aligned(int(resolve(buffer.bytes, {})))
            for name, buffer in self.plan.buffers.items()
            if buffer.place == "prepared"
        }
        self._versions: list[int] | None = None
        self._idle: dict[tuple[int, ...], list[Context]] = {}
        graph, changed = self.plan.graph, self.plan.graph.updates
        borders = [*graph.inputs, *graph.outputs, *changed.values()]
        self._borders = [self._slots.get(("buffer", self.plan.root(name))) for name in borders]
        self._updated = [graph[param].attrs["variable"] for param in changed]
        self._updates = [(graph[param].tensor.shape, numpy_dtype(graph[param].tensor.dtype)) for param in changed]
        self._run_at = runtime().run_at
        self._code_at = self._code.ctypes.data

    def _encoded(self, steps: Sequence[Step]) -> np.ndarray:
        return encode(self._record(step) for step in steps)

    def _record(self, step: Step) -> Record:
        sizes = dict(zip(step.kernel.sizes, step.sizes, strict=True))
        packer = native_packer(step.kernel)
        words = [substitute(word, sizes) for word in packer.words] if packer else step.sizes
        slots = [self._slot(("buffer", name)) for name in step.buffers] + [self._slot(("size", one)) for one in words]
        address = runtime().symbols[packer.name] if packer else jit.address_of(step.kernel, shown_source(step))
        extent = self._slot(("size", substitute(step.kernel.extent, sizes)))
        return Record(address, extent, step.kernel.grain, slots)

    def _slot(self, key: Any) -> int:
        return self._slots.setdefault(key, len(self._slots))

    def _constant_arrays(self) -> dict[str, np.ndarray]:
        found = {}
        for node in self.plan.graph:
            if node.op == "const":
                found[node.name] = np.ascontiguousarray(node.attrs["value"], numpy_dtype(node.tensor.dtype))
        return found

    def source(self) -> str:
        """The generated Python of each kernel, once, in the order in which they run."""
        return "\n\n".join(self._each_kernel(lambda step: f"{line_above(self.plan.graph, step)}\n{shown_source(step)}"))

    def llvm(self) -> str:
        """The kernels as LLVM's text, before optimisation."""
        return "\n\n".join(self._each_kernel(lambda step: jit.llvm_of(step.kernel, shown_source(step))))

    def asm(self) -> str:
        """The kernels as assembly."""
        return "\n\n".join(self._each_kernel(lambda step: jit.assembly_of(step.kernel, shown_source(step))))

    def ptx(self) -> str:
        """There is none: ArgumentError."""
        raise ArgumentError('a program for the CPU has no PTX; compile with target="cuda"')

    def _each_kernel(self, show: Callable[[Step], str]) -> list[str]:
        steps = [*self.plan.prepare, *self.plan.steps]
        return [
            show(step) for number, step in enumerate(steps) if step.kernel not in [s.kernel for s in steps[:number]]
        ]

    def run(
        self, inputs: Sequence[np.ndarray], outputs: Sequence[np.ndarray], sizes: Mapping[str, int]
    ) -> dict[Any, np.ndarray]:
        """Fill the outputs; returns the new value of each state variable. Raises RangeError for a bad index."""
        self._refresh()
        idle = self._idle.setdefault(tuple(sizes.values()), [])
        try:
            context = idle.pop()
        except IndexError:
            context = self._context(sizes)
            if len(self._idle) > MOST_CONTEXTS:
                oldest, *_ = list(self._idle)  # a list, as another thread may add to the dict meanwhile
                self._idle.pop(oldest, None)
        updates = [np.empty(shape, dtype) for shape, dtype in self._updates]
        frame = context.frame
        for slot, array in zip(self._borders, (*inputs, *outputs, *updates), strict=True):
            if slot is not None:
                frame[slot] = array.__array_interface__["data"][0]
        failed = self._run_at(self._code_at, len(self.plan.steps), context.frame_at, self.threads)
        idle.append(context)
        if failed:
            raise refusal(self.plan.graph, self.plan.steps[failure(failed)[0]], inputs, sizes)
        return dict(zip(self._updated, updates, strict=True)) if updates else {}

    def _refresh(self) -> None:
        """Redo what was made from weights alone, if a weight has changed since."""
        if not self.plan.prepare:
            return
        versions = [variable.version for _, variable in self._params]
        if versions != self._versions:
            with lock:  # else a thread that began before the change could write old numbers over new ones
                failed = runtime().run(self._prepare, len(self.plan.prepare), self._frame({}), self.threads)
                assert not failed, "preparing weights cannot be refused"
                self._versions = versions

    def _context(self, sizes: Mapping[str, int]) -> Context:
        found = layout(self.plan, sizes)
        frame, arena = self._frame(sizes), aligned(found.size)
        for name, offset in found.offsets.items():
            frame[self._slots["buffer", name]] = arena.ctypes.data + offset
        return Context(frame, frame.ctypes.data, arena)

    def _frame(self, sizes: Mapping[str, int]) -> np.ndarray:
        """Sizes, extents and the addresses that are the same in every call."""
        frame = np.zeros(len(self._slots), np.int64)
        arrays = {**self._constants, **self._prepared, **{name: v.value for name, v in self._params}}
        for (kind, what), slot in self._slots.items():
            if kind == "buffer":
                frame[slot] = arrays[what].ctypes.data if what in arrays else 0
            elif axes_of(what) <= sizes.keys():
                frame[slot] = resolve(what, sizes)
        return frame


def aligned(size: int) -> np.ndarray:
    """Uninitialised bytes at an address that vectors like."""
    raw = np.empty(size + 64, np.uint8)
    start = -raw.ctypes.data % 64
    return raw[start : start + size]
