"""Each kernel of a program by itself, many times: what it takes, and how near it comes to the machine's limits.

The numbers are of kernels whose operands lie in the nearest cache that holds them, as the same kernel ran just before;
a whole call may take longer than their sum.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np

import kgraph
from kgraph.bench.calls import arguments_of
from kgraph.bench.case import Case, Task, case_of
from kgraph.bench.limits import Limits
from kgraph.bench.peers import step_of
from kgraph.bench.timing import Sample, one_turn, warm_up
from kgraph.bench.work import operations, operations_of
from kgraph.codegen.cpu.program import Program, aligned
from kgraph.codegen.native.runtime import runtime
from kgraph.codegen.plan.layout import layout
from kgraph.codegen.plan.steps import Loop, Plan, Step
from kgraph.graph.evaluate import bind_sizes
from kgraph.graph.sizes import resolve


@dataclass(frozen=True)
class Kernel:
    """One step of a program: how long it takes, what it computes, and the bytes of all that it reads and writes."""

    name: str
    sample: Sample
    operations: int
    bytes: int


@dataclass(frozen=True)
class Profile:
    """A program's kernels in order, and a whole call beside them."""

    task: Task
    mode: str
    kernels: Sequence[Kernel]
    call: Sample

    @property
    def total(self) -> float:
        """Seconds of all kernels."""
        return sum(one.sample.median for one in self.kernels)


def profile(task: Task, threads: int, seconds: float) -> list[Profile]:
    """A profile for each mode of a task; each kernel and the call are measured for about so many seconds."""
    case = case_of(task)
    return [profile_of(case, mode, threads, seconds) for mode in task.modes]


def profile_of(case: Case, mode: str, threads: int, seconds: float) -> Profile:
    """Run the whole program, then each step by itself, in order, so that its operands are there."""
    if mode == "step":
        lowered = step_of(case)._main()
    else:
        loss = case.task.loss if mode == "grad" else None
        lowered = kgraph.compile(case.model, loss=loss, threads=threads)._main()
    inputs = [np.ascontiguousarray(one) for one in arguments_of(case, mode)]
    lowered.run(inputs)  # prepares what is made from weights alone
    sizes = bind_sizes(lowered.ir, [one.shape for one in inputs])
    program = lowered.program
    plan = uncut(program.plan)
    frame, memory = frame_of(program, plan, inputs, sizes)
    kernels = []
    run = runtime().run
    counted: set[str] = set()
    for step in plan.steps:
        call = partial(run, program.code_of([step]), 1, frame, threads)
        sample = sample_of(call, seconds)
        done, moved = counts(plan, step, sizes, counted), touched(plan, step, sizes)
        kernels.append(Kernel(step.node, sample, done, moved))
    del memory
    return Profile(case.task, mode, kernels, sample_of(partial(lowered.run, inputs), seconds))


def sample_of(call: Any, seconds: float) -> Sample:
    """Warmed up, and measured for about so long."""
    count = warm_up(call)
    return Sample(tuple(one_turn(call, count, seconds)), count)


def uncut(plan: Plan) -> Plan:
    """The plan with each of its steps done for all samples at once."""
    steps = [
        one
        for step in plan.steps
        for one in (step.steps if isinstance(step, Loop) and step.cut is plan.cut else [step])
    ]
    return replace(plan, steps=steps) if plan.cut else plan


def frame_of(
    program: Program, plan: Plan, inputs: Sequence[np.ndarray], sizes: Mapping[str, int]
) -> tuple[np.ndarray, list[Any]]:
    """The addresses and sizes that kernels read, with memory for all values in between, and what owns that memory.

    plan: the program's, uncut.
    """
    frame, found = program._frame(sizes), layout(plan, sizes)
    arena = aligned(found.size)
    given = dict(zip(map(plan.root, plan.graph.inputs), inputs, strict=True))
    owned: list[Any] = [arena]
    for name, buffer in plan.buffers.items():
        slot = program._slots.get(("buffer", name))
        if slot is None:
            continue
        if buffer.place == "arena":
            frame[slot] = arena.ctypes.data + found.offsets[name]
        elif buffer.place in ("input", "result"):
            array = given[name] if name in given else aligned(int(resolve(buffer.bytes, sizes)))
            frame[slot] = array.ctypes.data
            owned.append(array)
    return frame, owned


def touched(plan: Plan, step: Step | Loop, sizes: Mapping[str, int]) -> int:
    """The bytes of all buffers of a step, each once; a gather may read less of its table."""
    if isinstance(step, Loop):
        return int(resolve(step.count, sizes)) * sum(touched(plan, one, sizes) for one in step.steps)
    return sum(int(resolve(plan.buffers[name].bytes, sizes)) for name in dict.fromkeys(step.buffers))


def counts(plan: Plan, step: Step | Loop, sizes: Mapping[str, int], counted: set[str]) -> int:
    """The operations of a step's node, told once for all of its steps; packing has none."""
    if step.node not in plan.graph or step.node in counted or (isinstance(step, Step) and step.table):
        return 0
    counted.add(step.node)
    node = plan.graph[step.node]
    if node.op == "fused" and node.body is not None:
        return operations(node.body, sizes)
    return operations_of(plan.graph, node, sizes)


def entry(found: Profile, limits: Limits) -> dict[str, Any]:
    """A profile as plain data: times in seconds, shares of the limits as parts of 1."""
    return {
        "model": found.task.name,
        "batch": found.task.batch,
        "mode": found.mode,
        "call_s": found.call.median,
        "kernels_s": found.total,
        "kernels": [
            {
                "name": one.name,
                "median_s": one.sample.median,
                "p95_s": one.sample.p95,
                "operations": one.operations,
                "flop_share": one.operations / one.sample.median / limits.flops,
                "bytes": one.bytes,
                "bandwidth_share": one.bytes / one.sample.median / limits.bandwidth(one.bytes),
            }
            for one in found.kernels
        ],
    }
