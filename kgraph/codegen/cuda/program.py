"""A plan on a GPU, or on its emulation: arrays in, arrays out. One call at a time; others wait for it."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from kgraph.codegen.cuda import printer
from kgraph.codegen.cuda.machine import Emulator, Gpu, compiled, grid_of, machine
from kgraph.codegen.plan.layout import layout
from kgraph.codegen.plan.planner import plan
from kgraph.codegen.plan.refusal import refusal
from kgraph.codegen.plan.show import line_above, shown_source
from kgraph.codegen.plan.steps import Loop, Plan, Step
from kgraph.codegen.schedule.kernel import Check
from kgraph.errors import ArgumentError
from kgraph.graph.ir import Graph
from kgraph.graph.sizes import resolve
from kgraph.graph.types import HALF, numpy_dtype

MOST_CONTEXTS = 16  # combinations of sizes whose memory is kept for the next call
FLAG_BYTES = 4


@dataclass(frozen=True)
class Place:
    """Where a value lies: in which memory, from which byte on."""

    memory: Any
    offset: int = 0


@dataclass(frozen=True)
class Context:
    """The memory of calls with certain sizes: the arena, and a place for every value that is not made ahead."""

    arena: Any
    places: Mapping[str, Place]


class CudaProgram:
    """The CUDA kernels of one graph, in order. inputs and outputs are arrays of the right dtype, in C order."""

    def __init__(self, graph: Graph, threads: int | None = None, lower_only: bool = False) -> None:
        self.plan: Plan = plan(graph, None)
        self.threads = threads  # of the CPU: without meaning here
        self._lock = threading.RLock()
        self._machine: Emulator | Gpu | None = None
        if not lower_only:
            self._load(machine())

    def _load(self, found: Emulator | Gpu) -> None:
        """Machine code, and the memory that outlives a call."""
        self._machine = found
        found.enter()
        self._loaded = {step.kernel: found.load(step.kernel) for step in (*self.plan.prepare, *self.plan.kernel_calls)}
        self._contexts: dict[tuple[int, ...], Context] = {}
        self._versions: dict[str, int] | None = None  # of the weights on the device
        self._kept = {
            name: Place(found.allocate(int(resolve(buffer.bytes, {}))))
            for name, buffer in self.plan.buffers.items()
            if buffer.place in ("param", "const", "prepared")
        }
        checks = [step for step in self.plan.kernel_calls if isinstance(step.kernel.schedule, Check)]
        self._flags = {id(step): Place(found.allocate(FLAG_BYTES)) for step in checks}
        for name, value in self.plan.constants.items():
            found.upload(self._kept[name].memory, value)

    def run(
        self, inputs: Sequence[np.ndarray], outputs: Sequence[np.ndarray], sizes: Mapping[str, int]
    ) -> dict[Any, np.ndarray]:
        """Fill the outputs; returns the new value of each state variable. Raises RangeError for a bad index."""
        target = self._machine
        if target is None:
            raise ArgumentError("a program made with lower_only=True has no machine code to run; compile it without")
        graph = self.plan.graph
        with self._lock:
            target.enter()
            self._refresh(target)
            context = self._context(target, sizes)
            for name, array in zip(graph.inputs, inputs, strict=True):
                target.upload(context.places[name].memory, array)
            self._run_steps(target, self.plan.steps, dict(context.places), inputs, sizes)
            changed = graph.updates
            kinds = [graph[param].tensor for param in changed]
            updates = [np.empty(kind.shape, numpy_dtype(kind.dtype)) for kind in kinds]
            for name, array in zip((*graph.outputs, *changed.values()), (*outputs, *updates), strict=True):
                target.download(context.places[self.plan.root(name)].memory, array)
        return dict(zip((graph[param].attrs["variable"] for param in changed), updates, strict=True))

    def _refresh(self, target: Emulator | Gpu) -> None:
        """Upload the weights that have changed, and redo what was made from weights alone."""
        params = {node.name: node.attrs["variable"] for node in self.plan.graph if node.op == "param"}
        versions = {name: variable.version for name, variable in params.items()}
        if versions == self._versions:
            return
        for name, variable in params.items():
            if self._versions is None or versions[name] != self._versions[name]:
                numbers = variable.numbers if variable.dtype in HALF else variable.kept
                target.upload(self._kept[name].memory, numbers)
        for step in self.plan.prepare:
            self._start(target, step, {}, {}, None)
        self._versions = versions

    def _run_steps(
        self,
        target: Emulator | Gpu,
        steps: Sequence[Step | Loop],
        places: dict[str, Place],
        inputs: Sequence[Any],
        sizes: Mapping[str, int],
    ) -> None:
        """All kernels; what follows checks of indices waits for their answer, as it may read with these indices."""
        waiting: list[tuple[Step, Place]] = []
        for step in steps:
            if isinstance(step, Loop):
                self._answer(target, waiting, inputs, sizes)
                waiting = []
                self._run_loop(target, step, places, inputs, sizes)
                continue
            if isinstance(step.kernel.schedule, Check):
                flag = self._flags[id(step)]
                target.upload(flag.memory, np.zeros(1, np.int32))
                self._start(target, step, places, sizes, flag)
                waiting.append((step, flag))
                continue
            self._answer(target, waiting, inputs, sizes)
            waiting = []
            self._start(target, step, places, sizes, None)
        self._answer(target, waiting, inputs, sizes)

    def _run_loop(
        self,
        target: Emulator | Gpu,
        loop: Loop,
        places: dict[str, Place],
        inputs: Sequence[Any],
        sizes: Mapping[str, int],
    ) -> None:
        """The steps of a loop, with the places that move; `places` is changed as it goes on."""
        count = int(resolve(loop.count, sizes))
        for one in loop.carried:
            places[one.read] = self._place(places, one.first)
            if one.spare:
                places[one.written] = self._place(places, one.spare[0])
        for index in range(count):
            if loop.condition is not None and self._flag(target, places, loop.condition) != loop.wanted:
                break
            number = count - 1 - index if loop.reverse else index
            for part in loop.slices:
                whole, size = self._place(places, part.whole), int(resolve(self.plan.buffers[part.part].bytes, sizes))
                places[part.part] = Place(whole.memory, whole.offset + number * size)
            self._run_steps(target, loop.steps, places, inputs, sizes)
            for one in loop.carried:
                places[one.read] = places[one.written]
            for one in loop.carried:
                if one.spare:
                    even, odd = (self._place(places, name) for name in one.spare)
                    places[one.written] = odd if places[one.written] == even else even
        for one in loop.carried:
            if one.result:
                source, goal = places[one.read], self._place(places, one.result)
                size = int(resolve(self.plan.buffers[one.read].bytes, sizes))
                target.copy((goal.memory, goal.offset), (source.memory, source.offset), size)

    def _place(self, places: Mapping[str, Place], name: str) -> Place:
        return places.get(name) or self._kept[name]

    def _flag(self, target: Emulator | Gpu, places: Mapping[str, Place], name: str) -> bool:
        place, flag = self._place(places, name), np.zeros(1, np.bool_)
        target.download(place.memory, flag, place.offset)
        return bool(flag[0])

    def _answer(
        self,
        target: Emulator | Gpu,
        waiting: Sequence[tuple[Step, Place]],
        inputs: Sequence[Any],
        sizes: Mapping[str, int],
    ) -> None:
        count = np.zeros(1, np.int32)
        for step, flag in waiting:
            target.download(flag.memory, count)
            if count[0]:
                raise refusal(self.plan.graph, step, inputs, sizes)

    def _start(
        self,
        target: Emulator | Gpu,
        step: Step,
        places: Mapping[str, Place],
        sizes: Mapping[str, int],
        flag: Place | None,
    ) -> None:
        """Launch the kernel of one step."""
        kernel = step.kernel
        named = {name: int(resolve(size, sizes)) for name, size in zip(kernel.sizes, step.sizes, strict=True)}
        grid = grid_of(kernel, named, target.geometry)
        if grid <= 0:
            return
        given = []
        for name in step.buffers:
            buffer, place = self.plan.buffers[name], self._place(places, name)
            elements = int(resolve(buffer.elements, sizes))
            given.append(target.pointer(place.memory, place.offset, elements, buffer.dtype))
        if flag is not None:
            given.append(target.pointer(flag.memory, 0, 1, "int32"))
        target.launch(self._loaded[kernel], grid, kernel, [*given, *named.values()])

    def _context(self, target: Emulator | Gpu, sizes: Mapping[str, int]) -> Context:
        """The memory for calls with these sizes, kept for the next one."""
        key = tuple(sizes.values())
        if key not in self._contexts:
            if len(self._contexts) >= MOST_CONTEXTS:
                del self._contexts[next(iter(self._contexts))]
            found = layout(self.plan, sizes)
            arena = target.allocate(found.size)
            places = {name: Place(arena, offset) for name, offset in found.offsets.items()}
            for name, buffer in self.plan.buffers.items():
                if buffer.place in ("input", "result"):
                    places[name] = Place(target.allocate(int(resolve(buffer.bytes, sizes))))
            self._contexts[key] = Context(arena, places)
        context = self._contexts[key]
        for memory in (context.arena, *(place.memory for place in context.places.values())):
            target.clear(memory)
        return context

    def source(self) -> str:
        """The generated Python of each kernel, once, in the order in which they run."""
        texts = self._each_kernel(lambda step: f"{line_above(step)}\n{shown_source(step, printer.source)}")
        return "\n\n".join(texts)

    def llvm(self) -> str:
        """None is kept: ArgumentError."""
        raise ArgumentError("numba-cuda goes from Python to PTX without LLVM text of ours; ask for ptx()")

    def asm(self) -> str:
        """None is made: ArgumentError."""
        raise ArgumentError(
            'a program for CUDA has no assembly of the CPU; ask for ptx(), or compile with target="cpu"'
        )

    def ptx(self) -> str:
        """The kernels as PTX. MissingExtraError without the extra `cuda`."""
        return "\n\n".join(self._each_kernel(lambda step: compiled(step.kernel).ptx))

    def _each_kernel(self, show: Callable[[Step], str]) -> list[str]:
        first = {step.kernel: step for step in reversed([*self.plan.prepare, *self.plan.kernel_calls])}
        return [show(step) for step in reversed(first.values())]
