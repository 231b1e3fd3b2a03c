"""`kgraph bench`: what the command line asks for, measured and printed."""

from __future__ import annotations

import sys
from argparse import Namespace
from collections.abc import Callable, Iterator
from typing import Any

from rich.console import Console

from kgraph.bench.measure import Row, Settings, bound_to, measure, start_up
from kgraph.bench.models import MODELS
from kgraph.bench.peers import peers_named
from kgraph.bench.report import document, show_tables


def run(options: Namespace, name: str = "", model: Any = None) -> int:
    """Measure this model, or the built-in ones; 1 if one of those failed, or any numbers differ from ours."""
    settings = Settings(options.batch, options.seconds, options.threads, options.loss, peers_named(options.vs or ""))
    rows: list[Row] = []
    failed: list[str] = []
    with bound_to(options.threads):
        startup = start_up()
        progress = Console(stderr=True)
        if model is not None:
            rows += measure(name, model, settings)
        for one, make in MODELS.items() if model is None else ():
            with progress.status(f"measuring {one}"):
                failed += attempted(one, make, settings, rows)
    if options.json:
        print(document(rows, options.threads, startup))
    elif rows:
        show_tables(rows, settings.peers)
    failed += [fault for row in rows for fault in row.faults]
    for line in [*left_out(rows), *failed]:
        print(f"kgraph bench: {line}", file=sys.stderr)
    return 1 if failed else 0


def attempted(name: str, make: Callable[[], Any], settings: Settings, rows: list[Row]) -> list[str]:
    """Measure a built-in model; a failure is told, and keeps none of the others from being measured."""
    try:
        rows += measure(name, make(), settings)
    except Exception as error:
        return [f"{name}: {type(error).__name__}: {' '.join(str(error).split())}"]
    return []


def left_out(rows: list[Row]) -> Iterator[str]:
    """Who was not measured, and why, once for each model."""
    found = {
        (row.model, peer, rival.absent): None for row in rows for peer, rival in row.rivals.items() if rival.absent
    }
    return (f"{model}: {peer} was left out: {reason}" for model, peer, reason in found)
