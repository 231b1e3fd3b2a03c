"""What was measured, as a table for people and as a document for programs."""

from __future__ import annotations

import json
import os
import platform
from collections.abc import Callable, Sequence
from dataclasses import asdict
from typing import Any

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.measure import Measurement
from rich.table import Table

import kgraph
from kgraph import config
from kgraph.bench.measure import Rival, Row
from kgraph.bench.timing import Sample
from kgraph.bench.work import peak_of_process
from kgraph.codegen.native.host import host

WIDTH = 200  # of a table that goes into a file or a pipe

Column = tuple[str, Callable[[Row], str]]  # the head, and what stands below it


ROUNDED_UP = 0.9995  # what three digits show as 1


def duration(seconds: float) -> str:
    """3.14 µs, 14 ms, 2.5 s."""
    for unit, size in (("s", 1.0), ("ms", 1e-3)):
        if seconds >= ROUNDED_UP * size:
            return f"{seconds / size:.3g} {unit}" if seconds < 999.5 * size else f"{seconds / size:.0f} {unit}"
    return f"{seconds * 1e6:.3g} µs"


def quantity(number: float) -> str:
    """950, 12.3 k, 4.5 M."""
    for unit, size in (("G", 1e9), ("M", 1e6), ("k", 1e3)):
        if number >= ROUNDED_UP * size:
            return f"{number / size:.3g} {unit}"
    return f"{number:.3g} "


def tables(rows: Sequence[Row], peers: Sequence[str], width: int) -> list[Table]:
    """One table, with a line for each model and batch size; where that is too wide, one for each group of columns."""
    groups = [_own_columns(), *(_peer_columns(name) for name in peers)]
    whole = _table(rows, [column for group in groups for column in group])
    options = Console(width=1000).options
    if Measurement.get(Console(width=1000), options, whole).maximum <= width:
        return [whole]
    return [_table(rows, group) for group in groups]


def _table(rows: Sequence[Row], columns: Sequence[Column]) -> Table:
    made = Table(box=SIMPLE_HEAD, pad_edge=False, padding=(0, 1, 0, 0))
    for head in ("model", "batch", *(name for name, _ in columns)):
        made.add_column(head, justify="left" if head == "model" else "right", no_wrap=head != "model")
    for row in rows:
        made.add_row(row.model, str(row.batch), *(cell(row) for _, cell in columns))
    return made


def _own_columns() -> list[Column]:
    return [
        ("compile", lambda row: duration(row.compiled.forward_seconds)),
        ("call", lambda row: duration(row.call.median)),
        ("p95", lambda row: duration(row.call.p95)),
        ("items/s", lambda row: quantity(row.items_per_second)),
        ("GFLOP/s", lambda row: f"{row.gflops:.3g}"),
        ("gradient", lambda row: duration(row.gradient.median)),
        ("memory", lambda row: f"{quantity(row.memory.total)}B"),
    ]


def _peer_columns(name: str) -> list[Column]:
    def time(sample: Sample | None) -> str:
        return duration(sample.median) if sample else "-"

    def ratio(theirs: Sample | None, ours: Sample) -> str:
        return f"{theirs.median / ours.median:.1f}x" if theirs else "-"

    return [
        (name, lambda row: time(row.rivals[name].call)),
        ("ratio", lambda row: ratio(row.rivals[name].call, row.call)),
        (f"{name} grad", lambda row: time(row.rivals[name].gradient)),
        ("ratio", lambda row: ratio(row.rivals[name].gradient, row.gradient)),
    ]


def caption() -> str:
    """How to read the table."""
    peak = peak_of_process()
    held = f" This process held at most {quantity(peak)}B." if peak else ""
    return (
        "Times are medians of one call. compile: the forward pass, no kernel cached but those of the models above.\n"
        "GFLOP/s: of the forward pass, counted on the op graph. gradient: value_and_grad. ratio: theirs over ours.\n"
        f"memory: weights, the kernels' copies of them, and values in between.{held}"
    )


def machine() -> dict[str, Any]:
    """What the numbers depend on besides kgraph."""
    cpu = host()
    return {
        "cpu": cpu.name or cpu.machine,
        "vector_bits": cpu.bits,
        "cpus": os.cpu_count(),
        "system": platform.system(),
        "python": platform.python_version(),
    }


def document(rows: Sequence[Row], threads: int | None, startup: float) -> str:
    """Everything, as JSON; times in seconds, memory in bytes."""
    return json.dumps(
        {
            "kgraph": kgraph.__version__,
            "machine": machine(),
            "threads": threads or config.num_threads(),
            "startup_s": startup,
            "peak_rss_bytes": peak_of_process(),
            "rows": [_entry(row) for row in rows],
        },
        indent=2,
    )


def _entry(row: Row) -> dict[str, Any]:
    return {
        "model": row.model,
        "batch": row.batch,
        "compile_s": row.compiled.forward_seconds,
        "compile_gradient_s": row.compiled.gradient_seconds,
        "call": _times(row.call),
        "gradient": _times(row.gradient),
        "items_per_s": row.items_per_second,
        "operations": row.operations,
        "gflop_per_s": row.gflops,
        "memory_bytes": {**asdict(row.memory), "total": row.memory.total},
        "peers": {name: _rival_entry(row, rival) for name, rival in row.rivals.items()},
    }


def _rival_entry(row: Row, rival: Rival) -> dict[str, Any]:
    if rival.absent:
        return {"absent": rival.absent}
    return {
        "call": _times(rival.call),
        "gradient": _times(rival.gradient),
        "call_ratio": rival.call.median / row.call.median if rival.call else None,
        "gradient_ratio": rival.gradient.median / row.gradient.median if rival.gradient else None,
        "call_difference": rival.call_difference,
        "gradient_difference": rival.gradient_difference,
    }


def _times(sample: Sample | None) -> dict[str, Any] | None:
    return None if sample is None else {"median_s": sample.median, "p95_s": sample.p95, "calls": sample.calls}


def show_tables(rows: Sequence[Row], peers: Sequence[str]) -> None:
    """Print what was measured, for the terminal's width, or as wide as need be where there is none."""
    console = Console()
    if not console.is_terminal:
        console = Console(width=WIDTH)
    console.print(f"kgraph {kgraph.__version__} on {machine()['cpu']}")
    for one in tables(rows, peers, console.width):
        console.print(one)
    console.print(caption())
