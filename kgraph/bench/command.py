"""`kgraph bench`: what the command line asks for, measured and printed."""

from __future__ import annotations

import sys
from argparse import Namespace
from collections.abc import Callable, Mapping
from typing import Any

from rich.console import Console

from kgraph.bench.measure import Row, Settings, bound_to, measure, start_up
from kgraph.bench.models import MODELS
from kgraph.bench.peers import peers_named
from kgraph.bench.report import document, show_tables


def run(options: Namespace, given: Mapping[str, Callable[[], Any]] | None) -> int:
    """Measure these models, or the built-in ones; 1 if any contestant's numbers differ from ours."""
    settings = Settings(options.batch, options.seconds, options.threads, options.loss, peers_named(options.vs or ""))
    rows: list[Row] = []
    with bound_to(options.threads):
        startup = start_up()
        progress = Console(stderr=True)
        for name, make in (given or MODELS).items():
            with progress.status(f"measuring {name}"):
                rows += measure(name, make(), settings)
    if options.json:
        print(document(rows, options.threads, startup))
    else:
        show_tables(rows, settings.peers)
    faults = [fault for row in rows for fault in row.faults]
    absent = {
        f"{name} was left out of {row.model}: {one.absent}"
        for row in rows
        for name, one in row.rivals.items()
        if one.absent
    }
    for line in [*sorted(absent), *faults]:
        print(f"kgraph bench: {line}", file=sys.stderr)
    return 1 if faults else 0
