"""What a plan consists of: memory, kernel calls, and loops around these."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np

from kgraph.codegen.schedule.kernel import Check, Kernel
from kgraph.codegen.schedule.source import strips
from kgraph.graph.ir import Graph
from kgraph.graph.sizes import Dim, axis, maximum, resolve, substitute
from kgraph.graph.types import numpy_dtype


@dataclass(frozen=True)
class Buffer:
    """Memory for one value.

    place: input, param, const, result, arena, prepared (made from weights alone), or moving (elsewhere in each step
    of a loop).
    """

    name: str
    dtype: str
    elements: Dim
    place: str

    @property
    def bytes(self) -> Dim:
        return self.elements * numpy_dtype(self.dtype).itemsize


@dataclass(frozen=True)
class Step:
    """One kernel call: the buffers and the sizes that it is given."""

    kernel: Kernel
    buffers: tuple[str, ...]
    sizes: tuple[Dim, ...]
    node: str
    table: str = ""  # of a check: what the indices point into
    graph: Graph | None = field(default=None, compare=False, repr=False)  # in which the node is

    @property
    def uses(self) -> tuple[str, ...]:
        """All memory that it touches."""
        return self.buffers

    @property
    def writes(self) -> tuple[str, ...]:
        """What of that it may write: all but the operands, packed or not."""
        pairs = zip(self.kernel.parameters, self.buffers, strict=True)
        return tuple(buffer for parameter, buffer in pairs if not parameter.name.startswith(("in", "panels")))


@dataclass(frozen=True)
class Slice:
    """A buffer that is, in each step of a loop, the next part of another."""

    part: str
    whole: str


@dataclass(frozen=True)
class Carried:
    """A value that each step of a loop hands on to the next."""

    read: str  # the buffer a step reads it from
    written: str  # and that which it writes to
    first: str  # where it is before the first step
    spare: tuple[str, str] | None  # written in turn; None where `written` is a slice
    result: str | None  # where it shall be after the last step


@dataclass(frozen=True)
class Cut:
    """Parts of the batch that know nothing of each other."""

    axis: str  # of the samples
    most: int  # samples of a part
    nanoseconds: int  # that so many take a thread, about
    has_rooms: bool  # whether what steps leave in the arena is of no use after a part
    least: int | None = None  # samples of a part, if there are as many parts as make them equal; else `most`

    @property
    def samples(self) -> Dim:
        """How many samples every part but the last has."""
        return self.most if self.least is None else axis(self._name)

    @cached_property
    def derived(self) -> dict[str, Dim]:
        """Sizes by name that those of parts are written with."""
        if self.least is None:
            return {}
        pairs = axis(self.axis) // (2 * self.most) + 1
        return {self._name: maximum(strips(axis(self.axis), 2 * pairs), self.least)}

    @property
    def _name(self) -> str:
        return f"{self.axis} of a part"

    @property
    def parts(self) -> Dim:
        """How many there are."""
        return strips(axis(self.axis), self.samples)

    def usual(self, size: Dim) -> Dim:
        """A size in every part but the last."""
        return substitute(size, {self.axis: self.samples})

    def last(self, size: Dim) -> Dim:
        """A size in the last part."""
        return substitute(size, {self.axis: axis(self.axis) - (self.parts - 1) * self.samples})


@dataclass(frozen=True)
class Loop:
    """Steps done `count` times, as long as the boolean in `condition` is as wanted."""

    steps: tuple[Step | Loop, ...]
    count: Dim
    node: str
    slices: tuple[Slice, ...] = ()
    carried: tuple[Carried, ...] = ()
    reverse: bool = False
    condition: str | None = None
    wanted: bool = True
    cut: Cut | None = None  # into parts, each of which does all its steps

    @property
    def uses(self) -> tuple[str, ...]:
        """The memory that it touches beside what its steps do, from before the first of them until after the last."""
        found = [one.whole for one in self.slices] + ([self.condition] if self.condition else [])
        for one in self.carried:
            found += [one.first, *(one.spare or ()), *([one.result] if one.result else [])]
        return tuple(found)


def says_as_much(earlier: Step, check: Step) -> bool:
    """Whether a step before has looked at these indices, and let none pass that this check refuses."""
    one, other = earlier.kernel.schedule, check.kernel.schedule
    if not isinstance(one, Check) or not isinstance(other, Check) or one.low not in (other.low, 0):
        return False
    return (earlier.buffers, earlier.sizes, one.high) == (check.buffers, check.sizes, other.high)


def flat(steps: Iterable[Step | Loop]) -> Iterator[Step | Loop]:
    """Steps and loops, each loop before what is in it."""
    for step in steps:
        yield step
        if isinstance(step, Loop):
            yield from flat(step.steps)


@dataclass
class Plan:
    """Everything but machine code and addresses."""

    graph: Graph
    buffers: dict[str, Buffer] = field(default_factory=dict)
    alias: dict[str, str] = field(default_factory=dict)  # a view -> the buffer it looks at
    steps: list[Step | Loop] = field(default_factory=list)
    prepare: list[Step] = field(default_factory=list)  # run again only when a weight has changed
    constants: dict[str, np.ndarray] = field(default_factory=dict)

    def buffer(self, name: str) -> Buffer:
        """The memory in which a value lies."""
        return self.buffers[self.root(name)]

    def root(self, name: str) -> str:
        """The name of that memory."""
        while name in self.alias:
            name = self.alias[name]
        return name

    @property
    def kernel_calls(self) -> list[Step]:
        """All steps, those inside of loops too."""
        return [step for step in flat(self.steps) if isinstance(step, Step)]

    @property
    def cut(self) -> Cut | None:
        """How all but checks of indices is cut in parts, if it is."""
        found = [step.cut for step in self.steps if isinstance(step, Loop) and step.cut and step.cut.has_rooms]
        return found[0] if found else None

    def all_sizes(self, sizes: Mapping[str, int]) -> dict[str, int]:
        """The sizes of a call, if that is what they are, with those of parts."""
        derived = {} if self.cut is None or self.cut.axis not in sizes else self.cut.derived
        return {**sizes, **{name: int(resolve(size, sizes)) for name, size in derived.items()}}

    @property
    def checks(self) -> bool:
        """Whether a call may be refused after it has begun."""
        return any(isinstance(step.kernel.schedule, Check) for step in self.kernel_calls)

    def lifetimes(self) -> dict[str, tuple[int, int]]:
        """For each buffer in the arena: the first step that writes it, and the last that uses it.

        What is there before a loop and used in it lives until its end, since the next step of the loop uses it again.
        """
        spans: dict[str, tuple[int, int]] = {}
        self._note(self.steps, 0, spans)
        return spans

    def _note(self, steps: Iterable[Step | Loop], number: int, spans: dict[str, tuple[int, int]]) -> int:
        for step in steps:
            begin = number
            self._touch(step.uses, number, spans)
            number += 1
            if isinstance(step, Loop):
                number = self._note(step.steps, number, spans)
                inside = [name for one in flat(step.steps) for name in one.uses]
                again = [name for name in inside if name in spans and spans[name][0] <= begin]
                if step.cut:  # no part of it knows how far others are
                    again = [] if step.cut.has_rooms else inside
                    self._touch(again, begin, spans)
                self._touch((*step.uses, *again), number, spans)
                number += 1
        return number

    def _touch(self, names: Iterable[str], number: int, spans: dict[str, tuple[int, int]]) -> None:
        for name in names:
            if self.buffers[name].place == "arena":
                begin, end = spans.get(name, (number, number))
                spans[name] = (min(begin, number), max(end, number))
