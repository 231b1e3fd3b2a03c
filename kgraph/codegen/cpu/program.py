"""A plan with machine code: arrays in, arrays out. Safe to call from many threads, and after a fork."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np

from kgraph import config
from kgraph.codegen.cpu import jit, printer
from kgraph.codegen.cpu.packing import native_packer
from kgraph.codegen.native import cuts, loops, runner
from kgraph.codegen.native.contexts import MOST_SIZES, Context, Contexts, aligned
from kgraph.codegen.native.epoch import Given, Job
from kgraph.codegen.native.host import tile_shape
from kgraph.codegen.native.objects import lock
from kgraph.codegen.native.runner import encode, failure
from kgraph.codegen.native.runtime import runtime
from kgraph.codegen.native.table import MOST_TENSORS, Change, Table, Tensor, Weights
from kgraph.codegen.plan.effort import nanoseconds
from kgraph.codegen.plan.layout import layout
from kgraph.codegen.plan.planner import plan
from kgraph.codegen.plan.refusal import refusal
from kgraph.codegen.plan.show import line_above, shown_source
from kgraph.codegen.plan.steps import Carried, Cut, Loop, Plan, Step, flat
from kgraph.codegen.schedule.kernel import Kernel
from kgraph.errors import ArgumentError
from kgraph.graph.ir import Graph
from kgraph.graph.sizes import Dim, Size, axes_of, resolve, substitute
from kgraph.graph.types import numpy_dtype

MOST_KEYS = 256  # combinations of sizes whose keys are remembered
_NEVER_CHANGED = np.zeros(1, np.int64)  # the version of what is prepared from constants alone: made once
LONG = 20_000  # nanoseconds from which on a call lets other Python threads run: to stop and go on costs it 50


class Program:
    """The CPU's kernels of one graph, in order. inputs and outputs are arrays of the right dtype, in C order."""

    def __init__(self, graph: Graph, threads: int | None = None, lower_only: bool = False) -> None:
        self.threads = threads or config.num_threads()
        self.plan: Plan = plan(graph, tile_shape, self.threads)
        self._slots: dict[Any, int] = {}
        if not lower_only:
            self._load()

    def _load(self) -> None:
        """Machine code, and the memory that outlives a call."""
        steps, prepare = self.plan.steps, self.plan.prepare
        addresses = self._addresses([*self.plan.kernel_calls, *prepare])  # compiled together
        self._code, self._prepare = (self._encoded(part, addresses) for part in (steps, prepare))
        self._params = [(node.name, node.attrs["variable"]) for node in self.plan.graph if node.op == "param"]
        self._prepared = {
            name: aligned(int(resolve(buffer.bytes, {})))
            for name, buffer in self.plan.buffers.items()
            if buffer.place == "prepared"
        }
        read = {name for step in self.plan.prepare for name in step.buffers}
        cells = [variable.version_address for name, variable in self._params if name in read]
        self._weights = Weights(cells or [_NEVER_CHANGED.ctypes.data] * bool(prepare))
        graph = self.plan.graph
        self.named = list(dict.fromkeys(dim for name in graph.inputs for dim in _open(graph[name].tensor.shape)))
        self._contexts = Contexts(len(self.named), runtime().contexts)
        self._keys: dict[tuple[int, ...], tuple[np.ndarray, int]] = {}
        results = [*graph.outputs, *graph.updates.values()]
        slots = [self._slots.get(("buffer", self.plan.root(name))) for name in (*graph.inputs, *results)]
        changes = len(graph.updates)
        self._borders, self._update_slots = slots[: len(slots) - changes], slots[len(slots) - changes :]
        self._updated = [graph[param].attrs["variable"] for param in graph.updates]
        self._in_place = [self.plan.root(value) == param for param, value in graph.updates.items()]
        self._run_at = runtime().run_at
        self._code_at = self._code.ctypes.data

    def _addresses(self, steps: Sequence[Step]) -> dict[Kernel, int]:
        kernels = {step.kernel: jit.Wanted(step.kernel, partial(_shown, step)) for step in steps}
        return dict(zip(kernels, jit.addresses_of(list(kernels.values())), strict=True))

    def code_of(self, steps: Sequence[Step | Loop]) -> np.ndarray:
        """Some steps of the plan as the runner reads them."""
        return self._encoded(steps, self._addresses([step for step in flat(steps) if isinstance(step, Step)]))

    def _encoded(self, steps: Sequence[Step | Loop], addresses: Mapping[Kernel, int]) -> np.ndarray:
        return encode([self._record(step, addresses) for step in steps])

    def _record(self, step: Step | Loop, addresses: Mapping[Kernel, int]) -> runner.Step | runner.Loop:
        if isinstance(step, Loop):
            return self._loop(step, addresses)
        sizes = dict(zip(step.kernel.sizes, step.sizes, strict=True))
        packer = native_packer(step.kernel)
        words = [substitute(word, sizes) for word in packer.words] if packer else step.sizes
        slots = [self._slot(("buffer", name)) for name in step.buffers] + [self._slot(("size", one)) for one in words]
        extent = self._slot(("size", substitute(step.kernel.extent, sizes)))
        grain = self._slot(("size", substitute(step.kernel.grain, sizes)))
        return runner.Step(addresses[step.kernel], extent, grain, slots)

    def _loop(self, loop: Loop, addresses: Mapping[Kernel, int]) -> runner.Loop:
        strides = [self._slot(("stride", self.plan.buffers[one.part].bytes)) for one in loop.slices]
        moves = [
            loops.Move(self._buffer(one.part), self._buffer(one.whole), stride)
            for one, stride in zip(loop.slices, strides, strict=True)
        ]
        carries = [self._carry(one) for one in loop.carried]
        steps = [self._record(step, addresses) for step in loop.steps]
        count, condition = self._slot(("size", loop.count)), self._buffer(loop.condition)
        parts = self._cut(loop, loop.cut, steps, carries) if loop.cut else None
        return runner.Loop(count, steps, moves, carries, loop.reverse, condition, loop.wanted, parts)

    def _cut(self, loop: Loop, cut: Cut, steps: Sequence[Any], carries: Sequence[loops.Carry]) -> cuts.Cut:
        """How a loop's samples are shared: what in a frame is another in each part."""
        keys, buffers = {slot: key for key, slot in self._slots.items()}, self.plan.buffers
        used = {slot for step in steps for slot in (step.extent, step.grain, *step.arguments)}
        used |= {slot for carry in carries for slot in carry.words if slot != loops.NOWHERE}
        wholes = {self._buffer(one.whole): buffers[one.part].bytes for one in loop.slices}
        sizes, places, locals_ = [], [], []
        for slot in sorted({*used, *wholes}):
            kind, what = keys[slot]
            size = what if kind == "size" else wholes.get(slot, buffers[what].bytes)
            if kind == "buffer" and cut.has_rooms and buffers[what].place == "arena":
                locals_.append(slot)
            elif cut.axis in axes_of(size):
                usual = self._slot(("size", cut.usual(size)))
                if kind == "size":
                    sizes.append((slot, usual, self._slot(("size", cut.last(size)))))
                else:
                    places.append((slot, usual))
        own = self._slot(("size", cut.parts)), cut.nanoseconds, self._slot(("words", 0)), sizes, places
        if not cut.has_rooms:
            return cuts.Cut(*own)
        doors = [self._slot(("door", number)) for number in range(self.threads)]  # one after the other
        return cuts.Cut(*own, locals_, doors[0], len(doors), self._slot(("room", 0)))

    def _carry(self, one: Carried) -> loops.Carry:
        even, odd = (self._buffer(name) for name in one.spare or (None, None))
        read, written, first, result = map(self._buffer, (one.read, one.written, one.first, one.result))
        return loops.Carry(read, written, first, even, odd, result, self._bytes(one.read))

    def _buffer(self, name: str | None) -> int:
        return loops.NOWHERE if name is None else self._slot(("buffer", name))

    def _bytes(self, name: str) -> int:
        return self._slot(("size", self.plan.buffers[name].bytes))

    def _slot(self, key: Any) -> int:
        return self._slots.setdefault(key, len(self._slots))

    @property
    def slots(self) -> Mapping[Any, int]:
        """Where in a frame what lies: buffers, sizes, strides, and what parts of a batch need."""
        return self._slots

    def marked(self, first: int) -> tuple[np.ndarray, list[jit.Wanted]]:
        """The steps as the runner reads them, with numbers from `first` on for kernels, and the kernels."""
        kernels = {step.kernel: jit.Wanted(step.kernel, partial(_shown, step)) for step in self.plan.kernel_calls}
        numbers = {kernel: first + number for number, kernel in enumerate(kernels)}
        return self._encoded(self.plan.steps, numbers), list(kernels.values())

    def frozen(self) -> dict[str, np.ndarray]:
        """What calls read of weights, constants and what is made from them, as it is now."""
        used = {name for step in flat(self.plan.steps) for name in step.uses}
        with lock:  # so that nobody makes them anew meanwhile
            self._refresh()
            return {name: array.copy() for name, array in self._arrays().items() if name in used}

    def _arrays(self) -> dict[str, np.ndarray]:
        return {**self.plan.constants, **self._prepared, **{name: v.kept for name, v in self._params}}

    def source(self) -> str:
        """The generated Python of each kernel, once, in the order in which they run."""
        return "\n\n".join(self._each_kernel(lambda step: f"{line_above(step)}\n{_shown(step)}"))

    def llvm(self) -> str:
        """The kernels as LLVM's text, before optimisation."""
        return "\n\n".join(self._each_kernel(lambda step: jit.llvm_of(step.kernel, _shown(step))))

    def asm(self) -> str:
        """The kernels as assembly."""
        return "\n\n".join(self._each_kernel(lambda step: jit.assembly_of(step.kernel, _shown(step))))

    def ptx(self) -> str:
        """There is none: ArgumentError."""
        raise ArgumentError('a program for the CPU has no PTX; compile with target="cuda"')

    def _each_kernel(self, show: Callable[[Step], str]) -> list[str]:
        steps = [*self.plan.prepare, *self.plan.kernel_calls]
        first = {replace(step.kernel, extent=0, grain=1): step for step in reversed(steps)}  # no text has these
        return [show(step) for step in reversed(first.values())]

    def run(
        self, inputs: Sequence[np.ndarray], outputs: Sequence[np.ndarray], sizes: Mapping[str, int]
    ) -> dict[Any, np.ndarray | None]:
        """Fill the outputs; returns the new value of each state variable, None where it has it already.

        Raises RangeError for a bad index.
        """
        self._refresh()
        context = self._take(sizes)
        try:
            frame = context.frame
            for slot, array in zip(self._borders, (*inputs, *outputs), strict=True):
                if slot is not None:
                    frame[slot] = array.__array_interface__["data"][0]
            failed = self._run_at(self._code_at, len(self.plan.steps), context.frame_at, self.threads)
            new = [None if update is None else update.copy() for update in context.updates]
        finally:
            self._contexts.give(context)
        if failed:
            raise self.refused(failed, inputs, sizes)
        return dict(zip(self._updated, new, strict=True))

    def prepare(self, sizes: Mapping[str, int]) -> None:
        """Make all that a call with these sizes needs: native callers need it ready."""
        self._refresh()
        self._contexts.give(self._take(sizes))

    def table(self, form: int, prepare: int = 0) -> Table | None:
        """What native callers are told; None if they cannot run it: it has more arrays or sizes than they take."""
        graph, places = self.plan.graph, {dim: ~place for place, dim in enumerate(self.named)}
        borders = [graph[name].tensor for name in (*graph.inputs, *graph.outputs)]
        if len(borders) > MOST_TENSORS or len(places) > MOST_SIZES:
            return None
        tensors = [
            Tensor(
                numpy_dtype(one.dtype), [places.get(dim, 0) if isinstance(dim, Size) else dim for dim in one.shape], at
            )
            for one, at in zip(borders, self._borders, strict=True)
        ]
        count, code, steps = len(graph.inputs), self._code, len(self.plan.steps)
        running = (self._changes(), self._weights, self._contexts, code, steps, self.threads)
        return Table(form, tensors[:count], tensors[count:], *running, self.plan.checks, prepare)

    def _changes(self) -> list[Change]:
        """The state that a call changes; what is written where it lies has nothing to copy."""
        return [
            Change(slot, variable.kept.ctypes.data, 0 if written else variable.kept.nbytes, variable.version_address)
            for variable, slot, written in zip(self._updated, self._update_slots, self._in_place, strict=True)
            if slot is not None
        ]

    @contextmanager
    def feeding(
        self, arrays: Sequence[np.ndarray], results: Sequence[np.ndarray], sizes: Mapping[str, int], batch: int
    ) -> Iterator[Feed]:
        """Inside the block, native code takes batches of these arrays as inputs, in C order and of the right dtypes.

        results: what the last batch's outputs are written to. sizes: those of a call with a batch.
        """
        self._refresh()
        context = self._take(sizes)
        count = len(arrays)
        try:
            for slot, array in zip(self._borders[count:], results, strict=True):
                if slot is not None:
                    context.frame[slot] = array.ctypes.data
            places = [np.empty((batch, *array.shape[1:]), array.dtype) for array in arrays]
            given = [
                Given(slot, array.ctypes.data, array.nbytes // max(1, len(array)), place.ctypes.data)
                for slot, array, place in zip(self._borders[:count], arrays, places, strict=True)
                if slot is not None
            ]
            job = Job(self._code, len(self.plan.steps), context.frame_at, self.threads, batch, given, self._changes())
            yield Feed(self, job, arrays, sizes, batch)
        finally:
            self._contexts.give(context)

    def refused(self, status: int, inputs: Sequence[np.ndarray], sizes: Mapping[str, int]) -> Exception:
        """The error for a call that a check has stopped."""
        step = list(flat(self.plan.steps))[failure(status)[0]]
        assert isinstance(step, Step)
        return refusal(self.plan.graph, step, inputs, sizes)

    def _refresh(self) -> None:
        """Redo what was made from weights alone, if a weight has changed since."""
        if not self.plan.prepare or runtime().is_fresh(self._weights.address):
            return
        with lock:  # else a thread that began before the change could write old numbers over new ones
            if runtime().is_fresh(self._weights.address):
                return  # another thread has done it
            versions = self._weights.versions()
            failed = runtime().run(self._prepare, len(self.plan.prepare), self._frame({}), self.threads)
            assert not failed, "preparing weights cannot be refused"
            self._weights.seen[:] = versions

    def _take(self, sizes: Mapping[str, int]) -> Context:
        """The memory of a call with these sizes, for its caller alone until it is given back."""
        values = tuple(sizes.values())
        known = self._keys.get(values)
        if known is None:
            if len(self._keys) >= MOST_KEYS:
                self._keys.clear()
            words = np.array([resolve(dim, sizes) for dim in self.named], np.int64)
            known = self._keys[values] = words, words.ctypes.data
        return self._contexts.take(known[1]) or self._context(known[0], sizes)

    def _context(self, key: np.ndarray, sizes: Mapping[str, int]) -> Context:
        found, graph = layout(self.plan, sizes, self.threads), self.plan.graph
        frame, arena = self._frame(sizes), aligned(found.size)
        if self.plan.cut:
            frame[self._slots["room", 0]] = found.room
        for name, offset in found.offsets.items():
            frame[self._slots["buffer", name]] = arena.ctypes.data + offset
        shapes = [dim for name in graph.outputs for dim in resolve(graph[name].tensor.shape, sizes)]
        is_long = nanoseconds(graph, sizes) > LONG
        pairs = zip(self._updated, self._in_place, strict=True)
        updates = [None if written else np.empty_like(variable.kept) for variable, written in pairs]
        for slot, array in zip(self._update_slots, updates, strict=True):
            if slot is not None and array is not None:
                frame[slot] = array.ctypes.data
        context = Context(frame, frame.ctypes.data, arena, np.array(shapes, np.int64), is_long, updates)
        self._contexts.add(key, context)
        return context

    def _frame(self, sizes: Mapping[str, int]) -> np.ndarray:
        """Sizes, extents and the addresses that are the same in every call."""
        frame, sizes = np.zeros(len(self._slots), np.int64), self.plan.all_sizes(sizes)
        arrays = self._arrays()
        for (kind, what), slot in self._slots.items():
            if kind == "buffer":
                frame[slot] = arrays[what].ctypes.data if what in arrays else 0
            elif kind == "words":
                frame[slot] = len(frame)
            elif kind in ("size", "stride") and axes_of(what) <= sizes.keys():
                frame[slot] = resolve(what, sizes)
        return frame


class Feed:
    """Batches on their way into a program."""

    def __init__(
        self, program: Program, job: Job, arrays: Sequence[np.ndarray], sizes: Mapping[str, int], batch: int
    ) -> None:
        self._program, self._job, self._arrays, self._sizes, self._batch = program, job, arrays, sizes, batch
        self._order: np.ndarray | None = None

    def set_order(self, order: np.ndarray | None) -> None:
        """Take the samples in this order; None for that of the arrays."""
        self._order = None if order is None else np.ascontiguousarray(order, np.int64)
        self._job.set_order(self._order)

    def run(self, first: int, last: int) -> None:
        """Batches first to last - 1. RangeError: an index points outside; the batches before are done."""
        at = first + runtime().epoch_at(self._job.address, first, last)
        if self._job.status:
            part = slice(at * self._batch, (at + 1) * self._batch)
            chosen = part if self._order is None else self._order[part]
            raise self._program.refused(self._job.status, [array[chosen] for array in self._arrays], self._sizes)


def _open(shape: Sequence[Dim]) -> list[Size]:
    """The dims that are known only at the call."""
    return [dim for dim in shape if isinstance(dim, Size)]


def _shown(step: Step) -> str:
    return shown_source(step, printer.source)
