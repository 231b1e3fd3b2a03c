"""The process of one contestant: `python -m kgraph.bench.worker NAME THREADS`.

It reads requests as lines of JSON and answers each with one. `build` makes a task's calls, compares their numbers with
those that kgraph's process left in a folder, and warms up; `turn` measures for a moment. team.py has the other end.
"""

from __future__ import annotations

import gc
import json
import os
import signal
import sys
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from statistics import median
from time import perf_counter
from typing import Any

import numpy as np

import kgraph
from kgraph.bench.calls import Call, Calls, UnknownHere
from kgraph.bench.case import Case, Task, case_of, keep, kept
from kgraph.bench.data import sizes_for
from kgraph.bench.peers import EVERY, OURS, step_of
from kgraph.bench.timing import one_turn, rest, warm_up
from kgraph.bench.work import memory, operations, peak_of_process
from kgraph.passes.open import open_composed

Way = tuple[Call, int, list[np.ndarray]]  # a call, how many make one number, and its result
TRIAL = 0.1  # seconds for each way of a peer that has several, to find out which is faster
Answer = dict[str, Any]


@dataclass
class Ready:
    """A call that may be measured."""

    call: Call
    count: int  # calls for one number
    within: Callable[[], Any]


@dataclass
class Contestant:
    """One contestant and what it has built."""

    name: str
    threads: int
    ready: dict[str, Ready] = field(default_factory=dict)

    def build(self, task: Mapping[str, Any], folder: str) -> Answer:
        """Make, compare and warm up each mode's call; `modes` tells how that went, `facts` what our compiler says."""
        self.ready.clear()
        gc.collect()
        gc.disable()
        started = perf_counter()
        first = kgraph.compile(lambda x: x + 1, inputs=[kgraph.Input((1,))]) if self.name == OURS else None
        start_up = perf_counter() - started
        case = case_of(Task(**task))
        place = Path(folder)
        if first is not None:
            np.savez(place / "weights.npz", **kept(case))  # type: ignore[arg-type]
        else:
            with np.load(place / "weights.npz") as values:
                keep(case, values)
        facts = {"startup_s": start_up, **self.facts(case)} if first is not None else {}
        return {"modes": {mode: self.try_mode(case, mode, place) for mode in case.task.modes}, "facts": facts}

    def try_mode(self, case: Case, mode: str, place: Path) -> Answer:
        """The answer for one mode: a difference, or why there is none."""
        modes = EVERY[self.name].modes
        if mode not in modes:
            return {"absent": f"{self.name} knows no mode but {', '.join(modes)}", "other_modes": True}
        try:
            return self.mode(case, mode, place)
        except UnknownHere as error:
            return {"absent": str(error)}
        except Exception as error:
            return {"failed": said(error)}

    def mode(self, case: Case, mode: str, place: Path) -> Answer:
        """The difference from kgraph's numbers, and the way that was chosen where there are several."""
        calls = EVERY[self.name].make(case, mode, self.threads)
        with calls.within():
            ways = working(calls)
            way = fastest(ways)
            call, count, values = ways[way]
        self.ready[mode] = Ready(call, count, calls.within)
        path = place / f"{mode}.npz"
        if self.name == OURS:
            np.savez(path, *values)
            return {"difference": 0.0}
        with np.load(path) as ours:
            return {"difference": calls.far(values, list(ours.values())), "way": way}

    def turn(self, mode: str, seconds: float) -> Answer:
        """Times of one call, each the mean of `calls`."""
        ready = self.ready[mode]
        with ready.within():
            found = one_turn(ready.call, ready.count, seconds)
        rest()
        return {"seconds": found, "calls": ready.count}

    def facts(self, case: Case) -> Answer:
        """What the compiler says of a case: seconds, operations, bytes. It compiles here first, before any call."""
        sizes = sizes_for(case.forward, case.task.batch)
        found: Answer = {}
        started = perf_counter()
        forward = kgraph.compile(case.model, threads=self.threads)
        found["compile_s"] = {"forward": perf_counter() - started}
        found["operations"] = {"forward": operations(open_composed(case.forward), sizes)}
        held = memory(forward.ir, sizes)
        found["memory_bytes"] = {**asdict(held), "total": held.total}
        if case.backward is not None:
            started = perf_counter()
            kgraph.compile(case.model, loss=case.task.loss, threads=self.threads)
            found["compile_s"]["grad"] = perf_counter() - started
            found["operations"]["grad"] = operations(open_composed(case.backward), sizes)
        if "step" in case.task.modes:
            started = perf_counter()
            step = step_of(case)
            found["compile_s"]["step"] = perf_counter() - started
            found["operations"]["step"] = operations(open_composed(step.stages["gradients"]), sizes)
        return {**found, "peak_rss_bytes": peak_of_process()}


def working(calls: Calls) -> dict[str, Way]:
    """The ways that do not fail, warmed up, with their numbers; raises what the last one raised if all fail."""
    found, failure = {}, None
    for name, call in calls.ways.items():
        try:
            for _ in range(calls.compared - 1):
                call()
            values = [np.array(one) for one in calls.flat(call())]
            found[name] = call, warm_up(call), values
        except Exception as error:
            failure = error
    if not found and failure is not None:
        raise failure
    return found


def fastest(ways: Mapping[str, Way]) -> str:
    """The way whose median is the least; the only one is not tried."""
    if len(ways) == 1:
        return next(iter(ways))
    return min(ways, key=lambda name: median(one_turn(*ways[name][:2], TRIAL)))


def said(error: BaseException) -> str:
    """An exception on one line."""
    text = " ".join(str(error).split())
    return f"{type(error).__name__}: {text[:300]}"


def serve(contestant: Contestant, requests: Any, answers: Any) -> None:
    """Answer requests until there are no more."""
    known: dict[str, Callable[..., Answer]] = {"build": contestant.build, "turn": contestant.turn}
    for line in requests:
        request = json.loads(line)
        try:
            answer = known[request.pop("do")](**request)
        except Exception as error:
            answer = {"failed": said(error)}
        print(json.dumps(answer), file=answers, flush=True)


def main() -> None:
    """Serve on stdin and stdout; what libraries print goes to stderr."""
    name, threads = sys.argv[1], int(sys.argv[2])
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent ends its workers
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:threads])
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    serve(Contestant(name, threads), sys.stdin, answers)
    os._exit(0)  # without the farewells of every library


if __name__ == "__main__":
    main()
