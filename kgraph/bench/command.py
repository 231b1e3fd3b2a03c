"""`kgraph bench`: what the command line asks for, measured and printed."""

from __future__ import annotations

import sys
from argparse import Namespace
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from rich.console import Console

import kgraph
from kgraph import config, losses
from kgraph.bench.case import Task
from kgraph.bench.limits import Limits
from kgraph.bench.measure import Failed, Row, measure
from kgraph.bench.models import CELLS, FEW, MODELS
from kgraph.bench.peers import not_installed, peers_named
from kgraph.bench.profile import profile
from kgraph.bench.report import document, profile_document, show_profiles, show_tables
from kgraph.bench.team import Team
from kgraph.locate import UsageError, model_at


def run(options: Namespace) -> int:
    """Measure what is asked for; 1 if a task failed, or any numbers differ from ours."""
    tasks = tasks_of(options)
    threads = options.threads or config.num_threads()
    if options.profile:
        if options.vs:
            raise UsageError("--profile measures no peers, so it does not go with --vs")
        return run_profile(tasks, threads, options)
    peers = peers_named(options.vs)
    progress = Console(stderr=True)
    with progress.status("measuring") as status:
        rows, failed = measured(tasks, peers, threads, options.seconds, lambda line: status.update(line))
    notes = [*(not_installed() if options.vs == "all" else ()), *left_out(rows)]
    if options.json:
        print(document(rows, peers, threads, [*notes, *failed]))
    elif rows:
        show_tables(rows, peers)
    for line in [*notes, *failed]:
        print(f"kgraph bench: {line}", file=sys.stderr)
    return 1 if failed else 0


def run_profile(tasks: Sequence[Task], threads: int, options: Namespace) -> int:
    """Measure kernel by kernel, in this process."""
    with Console(stderr=True).status("measuring the machine") as status:
        limits = Limits(threads)
        found = []
        for task in tasks:
            status.update(f"measuring {task.name}, batch {task.batch}")
            found += profile(task, threads, options.seconds)
        show = profile_document if options.json else show_profiles
        said = show(found, limits)
    if said:
        print(said)
    return 0


def tasks_of(options: Namespace) -> list[Task]:
    """The models and batch sizes of a command line; UsageError where they do not fit together."""
    modes = tuple(options.mode)
    if options.all:
        if options.model or options.batch:
            raise UsageError("--all has models and batch sizes of its own")
        return [Task(name, batch, both(modes, has), options.loss) for name, batch, has in CELLS if both(modes, has)]
    losses.get(options.loss)
    if options.model and options.model not in MODELS:
        if not Path(options.model.partition(":")[0]).suffix:
            raise UsageError(f"there is no model {options.model!r}: give FILE.py:NAME, or one of {', '.join(MODELS)}")
        # what is wrong with it is said here, and not by seven processes
        kgraph.compile(model_at(options.model), lower_only=True)
    places = [options.model] if options.model else FEW
    return [Task(place, batch, modes, options.loss) for place in places for batch in options.batch or (1, 32)]


def both(asked: Sequence[str], has: Sequence[str]) -> tuple[str, ...]:
    """The modes asked for that a cell has."""
    return tuple(mode for mode in asked if mode in has)


def measured(
    tasks: Sequence[Task], peers: Sequence[str], threads: int, seconds: float, tell: Callable[[str], Any]
) -> tuple[list[Row], list[str]]:
    """The rows, and what went wrong; one task's failure keeps none of the others from being measured."""
    rows: list[Row] = []
    failed: list[str] = []
    with Team(threads) as team:
        for number, task in enumerate(tasks, 1):
            try:
                rows += measure(task, peers, team, seconds, partial(told, tell, f"{number}/{len(tasks)}"))
            except Failed as error:
                failed.append(str(error))
    return rows, failed + [fault for row in rows for fault in row.faults]


def told(tell: Callable[[str], Any], place: str, line: str) -> None:
    """Tell what is being done, and how far the run is."""
    tell(f"{place} {line}")


def left_out(rows: Sequence[Row]) -> Iterator[str]:
    """Who was not measured although it could have been, and why, once for each model."""
    found = {
        (row.task.name, name, one.absent): None
        for row in rows
        for name, one in row.peers.items()
        if one.absent and not one.other_modes
    }
    return (f"{model}: {name} was left out: {reason}" for model, name, reason in found)
