"""Measuring tasks: all contestants build and compare, then take turns, so that a slow moment meets all of them."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from kgraph.bench.case import Task
from kgraph.bench.peers import OURS
from kgraph.bench.team import Team
from kgraph.bench.timing import Sample

NEAR = {"forward": 2e-3, "grad": 2e-3, "step": 0.2}  # the contestants sum float32 in different orders; see `drift`
ROUNDS = 10  # in which the contestants take turns
BUILD_LIMIT = 900.0  # seconds; torch.compile calls a C++ compiler for each of its kernels
TURN_LIMIT = 60.0  # seconds beyond the turn itself

Tell = Callable[[str], None]


class Failed(Exception):
    """kgraph itself did not get through a task; the message says why."""


@dataclass
class Result:
    """How one contestant did: its times, and how far its numbers are from ours, as a part of the largest."""

    sample: Sample | None = None
    difference: float = 0.0
    way: str = ""  # which of its ways was measured, where it has several
    absent: str = ""  # why it was not asked
    other_modes: bool = False  # that is because it has no such mode, of any model
    failed: str = ""  # what went wrong


@dataclass
class Row:
    """All that is known of one task in one mode."""

    task: Task
    mode: str
    ours: Sample
    facts: Mapping[str, Any]
    peers: dict[str, Result] = field(default_factory=dict)

    @property
    def best(self) -> str:
        """The fastest of the peers whose numbers are ours; "" if there is none."""
        near = NEAR[self.mode]
        timed = {name: one.sample.median for name, one in self.peers.items() if one.sample and one.difference <= near}
        return min(timed, key=lambda name: timed[name], default="")

    @property
    def ratio(self) -> float | None:
        """The best peer's time over ours."""
        return self.ratio_of(self.best)

    def ratio_of(self, peer: str) -> float | None:
        """A peer's time over ours."""
        found = self.peers.get(peer)
        return found.sample.median / self.ours.median if found and found.sample else None

    @property
    def gflops(self) -> float:
        """10**9 operations of the op graph per second."""
        return self.facts["operations"][self.mode] / self.ours.median / 1e9

    @property
    def faults(self) -> list[str]:
        """Peers that broke, and peers whose numbers are not ours, in words."""
        found = []
        for name, peer in self.peers.items():
            where = f"{self.task.name}, batch {self.task.batch}, {self.mode}"
            if peer.failed:
                found.append(f"{where}: {name}: {peer.failed}")
            elif not peer.absent and not peer.difference <= NEAR[self.mode]:
                found.append(f"{where}: the numbers of {name} differ by {peer.difference:.1e}")
        return found


def measure(task: Task, peers: Sequence[str], team: Team, seconds: float, tell: Tell) -> list[Row]:
    """A row for each mode of a task; Failed if kgraph does not get through it."""
    where = f"{task.name}, batch {task.batch}"
    built = {}
    for name in (OURS, *peers):
        tell(f"{where}: {name} builds")
        built[name] = team.ask(name, BUILD_LIMIT, do="build", task=asdict(task), folder=str(team.folder))
        if name == OURS and (reason := failure_of(built[OURS])):
            raise Failed(f"{where}: {reason}")
    rows = []
    for mode in task.modes:
        tell(f"{where}: {mode}")
        results = {name: result_of(answer, mode) for name, answer in built.items()}
        take_turns(team, mode, results, seconds)
        built.update((name, {"failed": one.failed}) for name, one in results.items() if name not in team.workers)
        ours = results.pop(OURS)
        if ours.sample is None:
            raise Failed(f"{where}, {mode}: {ours.failed or ours.absent}")
        rows.append(Row(task, mode, ours.sample, built[OURS]["facts"], results))
    return rows


def failure_of(answer: Mapping[str, Any]) -> str:
    """What went wrong when a contestant was built; "" if nothing did."""
    said = [answer, *answer.get("modes", {}).values()]
    return next((one["failed"] for one in said if "failed" in one), "")


def result_of(answer: Mapping[str, Any], mode: str) -> Result:
    """What a contestant said when it was built."""
    found = answer if "failed" in answer else answer["modes"][mode]
    keys = ("difference", "way", "absent", "other_modes", "failed")
    return Result(None, **{key: found[key] for key in keys if key in found})


def take_turns(team: Team, mode: str, results: Mapping[str, Result], seconds: float) -> None:
    """Measure all that are ready, for about so many seconds each, and note their samples."""
    ready = [name for name, one in results.items() if not (one.absent or one.failed)]
    times: dict[str, list[float]] = {name: [] for name in ready}
    calls = dict.fromkeys(ready, 1)
    for turn in range(ROUNDS):
        shift = turn % max(len(ready), 1)  # so that nobody always comes after the same other
        for name in (*ready[shift:], *ready[:shift]):
            if results[name].failed:
                continue
            answer = team.ask(name, TURN_LIMIT + seconds, do="turn", mode=mode, seconds=seconds / ROUNDS)
            results[name].failed = answer.get("failed", "")
            times[name] += answer.get("seconds", ())
            calls[name] = answer.get("calls", 1)
    for name in ready:
        if times[name] and not results[name].failed:
            results[name].sample = Sample(tuple(times[name]), calls[name])


def geometric_mean(numbers: Iterable[float | None]) -> float | None:
    """Of those that are there; None if none is."""
    there = [math.log(number) for number in numbers if number]
    return math.exp(sum(there) / len(there)) if there else None


def means(rows: Sequence[Row], peers: Sequence[str]) -> dict[str, dict[str, float | None]]:
    """For each mode, the geometric means of the best peer's time over ours, and of each peer's."""
    found = {}
    for mode in dict.fromkeys(row.mode for row in rows):
        those = [row for row in rows if row.mode == mode]
        found[mode] = {"best": geometric_mean(row.ratio for row in those)}
        found[mode] |= {name: geometric_mean(row.ratio_of(name) for row in those) for name in peers}
    return found
