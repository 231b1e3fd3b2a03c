"""The clock: many calls of several contestants, in alternating rounds."""

from __future__ import annotations

import gc
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import repeat
from math import ceil
from statistics import median
from time import perf_counter_ns
from typing import Any

ROUNDS = 10  # in which the contestants take turns, so that a slow moment of the machine meets all of them
SHORTEST = 50e-6  # seconds of one sample: the clock itself takes about 50 ns
WARM_UP = 3  # calls before anything is measured

Call = Callable[[], Any]


@dataclass(frozen=True)
class Sample:
    """How long one call took, again and again. Where calls are short, each number is the mean of a few."""

    seconds: tuple[float, ...]
    calls_per_number: int

    @property
    def median(self) -> float:
        """The middle of the numbers, in seconds."""
        return median(self.seconds)

    @property
    def p95(self) -> float:
        """What 95 of 100 numbers stay below, in seconds."""
        ranked = sorted(self.seconds)
        return ranked[min(len(ranked) - 1, ceil(0.95 * len(ranked)) - 1)]

    @property
    def calls(self) -> int:
        """How many calls were measured."""
        return len(self.seconds) * self.calls_per_number


def contest(calls: Mapping[str, Call], seconds: float) -> dict[str, Sample]:
    """Measure each call for about this long (a call that takes longer is still made a few times)."""
    for call in calls.values():
        for _ in range(WARM_UP):
            call()
    with without_garbage_collection():
        counts = {name: repetitions(call) for name, call in calls.items()}
        found: dict[str, list[float]] = {name: [] for name in calls}
        for _ in range(ROUNDS):
            for name, call in calls.items():
                found[name] += one_turn(call, counts[name], seconds / ROUNDS)
    return {name: Sample(tuple(found[name]), counts[name]) for name in calls}


def repetitions(call: Call) -> int:
    """How many calls make one sample long enough for the clock."""
    count = 1
    while count < 1 << 20 and (took := timed(call, count) * count) < SHORTEST:
        count = max(count + 1, min(10 * count, ceil(1.2 * count * SHORTEST / max(took, 1e-9))))
    return count


def one_turn(call: Call, count: int, seconds: float) -> list[float]:
    """Samples of `count` calls until the time is up; at least one."""
    end = perf_counter_ns() + seconds * 1e9
    found = [timed(call, count)]
    while perf_counter_ns() < end:
        found.append(timed(call, count))
    return found


def timed(call: Call, count: int) -> float:
    """The mean time of `count` calls, in seconds."""
    start = perf_counter_ns()
    for _ in repeat(None, count):
        call()
    return (perf_counter_ns() - start) / (count * 1e9)


@contextmanager
def without_garbage_collection() -> Iterator[None]:
    """No collection of cycles in the middle of a measurement."""
    was_on = gc.isenabled()
    gc.collect()
    gc.disable()
    try:
        yield
    finally:
        if was_on:
            gc.enable()
