"""What was measured, as tables for people, as a document for programs, and as Markdown for documents."""

from __future__ import annotations

import json
import os
import platform
from collections.abc import Callable, Sequence
from math import isfinite
from typing import Any

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.measure import Measurement
from rich.table import Table

import kgraph
from kgraph.bench.limits import Limits
from kgraph.bench.measure import Result, Row, means
from kgraph.bench.peers import PEERS
from kgraph.bench.profile import Profile, entry
from kgraph.bench.timing import Sample
from kgraph.codegen.native.host import host

WIDTH = 200  # of a table that goes into a file or a pipe
ROUNDED_UP = 0.9995  # what three digits show as 1

Column = tuple[str, Callable[[Row], str]]  # the head, and what stands below it


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


def times(ratio: float | None) -> str:
    """1.25x; a dash for nothing."""
    return "-" if ratio is None else f"{ratio:.2f}x"


# tables -----------------------------------------------------------------------------------------------------------


def own_columns(mode: str) -> list[Column]:
    """What is told of kgraph alone."""
    return [
        ("compile", lambda row: duration(row.facts["compile_s"][mode])),
        ("p95", lambda row: duration(row.ours.p95)),
        ("items/s", lambda row: quantity(row.task.batch / row.ours.median)),
        ("GFLOP/s", lambda row: f"{row.gflops:.3g}"),
        ("memory", lambda row: f"{quantity(row.facts['memory_bytes']['total'])}B"),
    ]


def columns(mode: str, peers: Sequence[str]) -> list[Column]:
    """kgraph's time and those of the peers."""
    return [
        ("kgraph", lambda row: duration(row.ours.median)),
        ("±", lambda row: f"{100 * row.ours.spread:.0f}%"),
        *((name, peer_cell(name)) for name in peers if mode in PEERS[name].modes),
        ("best", lambda row: row.best or "-"),
        ("ratio", lambda row: times(row.ratio)),
    ]


def peer_cell(name: str) -> Callable[[Row], str]:
    """What a peer's column shows of a row."""

    def cell(row: Row) -> str:
        one = row.peers.get(name)
        if one is None or one.absent:
            return "-"
        return duration(one.sample.median) if one.sample else "failed"

    return cell


def tables(rows: Sequence[Row], mode: str, peers: Sequence[str], width: int) -> list[Table]:
    """One mode's table; several with some of the columns each where that is too wide."""
    groups: list[list[Column]] = [[]]
    wide = Console(width=1000)
    for column in (*columns(mode, peers), *own_columns(mode)):
        tried = table(rows, mode, peers, [*groups[-1], column])
        if groups[-1] and Measurement.get(wide, wide.options, tried).maximum > width:
            groups.append([])
        groups[-1].append(column)
    return [table(rows, mode, peers, group) for group in groups]


def table(rows: Sequence[Row], mode: str, peers: Sequence[str], shown: Sequence[Column]) -> Table:
    """These columns, and below them the geometric means of the ratios."""
    mean = means(rows, peers).get(mode, {})
    made = Table(box=SIMPLE_HEAD, pad_edge=False, padding=(0, 1, 0, 0), title=mode, title_justify="left")
    made.show_footer = len(rows) > 1 and any(head in (*peers, "ratio") for head, _ in shown)
    made.add_column("model", "mean ratio", no_wrap=True)
    made.add_column("batch", justify="right")
    for head, _ in shown:
        foot = times(mean.get("best" if head == "ratio" else head)) if head in (*peers, "ratio") else ""
        made.add_column(head, foot, justify="right", no_wrap=True)
    for row in rows:
        made.add_row(row.task.name, str(row.task.batch), *(cell(row) for _, cell in shown))
    return made


def caption() -> str:
    """How to read the tables."""
    return (
        "forward: the model's outputs; grad: value_and_grad; step: gradients, and Adam on all weights. Times are "
        "medians of one call; ±: half the distance of the quartiles. ratio: the best peer's time over kgraph's; its "
        "means are geometric. compile: with no kernel cached but those of the models above. GFLOP/s: on the op graph. "
        "memory: weights, the kernels' copies of them, and values in between, forward."
    )


def show_tables(rows: Sequence[Row], peers: Sequence[str]) -> None:
    """Print what was measured, for the terminal's width, or as wide as need be where there is none."""
    console = Console()
    if not console.is_terminal:
        console = Console(width=WIDTH)
    console.print(f"kgraph {kgraph.__version__} on {machine()['cpu']}")
    for mode in dict.fromkeys(row.mode for row in rows):
        for one in tables([row for row in rows if row.mode == mode], mode, peers, console.width):
            console.print(one)
    console.print(caption())


def markdown(rows: Sequence[Row], mode: str, peers: Sequence[str]) -> str:
    """One mode's times in microseconds, as a table for a document; the best of the peers is bold."""
    rows = [row for row in rows if row.mode == mode]
    shown = [name for name in peers if mode in PEERS[name].modes]
    lines = [["model", "batch", "kgraph", *shown, "best / kgraph"]]
    for row in rows:
        cells = [microseconds(row.peers.get(name), name == row.best) for name in shown]
        lines.append([row.task.name, str(row.task.batch), number(row.ours), *cells, times(row.ratio).rstrip("x")])
    mean = means(rows, peers).get(mode, {})
    ratios = [times(mean.get(name)).rstrip("x") for name in (*shown, "best")]
    lines.append(["geometric mean of theirs / kgraph", "", "", *ratios])
    lines.insert(1, ["---", *["---:"] * (len(lines[0]) - 1)])
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def microseconds(one: Result | None, best: bool) -> str:
    """A peer's cell."""
    if one is None or one.absent:
        return "-"
    if one.sample is None:
        return "failed"
    return f"**{number(one.sample)}**" if best else number(one.sample)


def number(sample: Sample) -> str:
    """A median in microseconds, with three digits."""
    micro = sample.median * 1e6
    return f"{micro:.0f}" if micro >= 100 else f"{micro:.3g}"


# profiles ---------------------------------------------------------------------------------------------------------


def show_profiles(profiles: Sequence[Profile], limits: Limits) -> None:
    """Print a table for each profile, and the limits that its shares are of."""
    console = Console()
    if not console.is_terminal:
        console = Console(width=WIDTH)
    for found in profiles:
        console.print(profile_table(found, limits))
    near, far = (limits.bandwidth(size) / 1e9 for size in (limits.in_cache, limits.in_memory))
    console.print(
        f"Limits of {limits.threads} threads, measured: {limits.flops / 1e9:.4g} GFLOP/s of float32 multiply-adds; a "
        f"copy of {near:.4g} GB/s in the cores' caches, {far:.4g} GB/s in memory, read and written. A kernel's share "
        "is of a copy that touches as many bytes. Kernels run one by one, many times, so that their operands lie in "
        "the nearest cache."
    )


def profile_table(found: Profile, limits: Limits) -> Table:
    """The kernels of a program, in order."""
    title = f"{found.task.name}, batch {found.task.batch}, {found.mode}"
    made = Table(box=SIMPLE_HEAD, pad_edge=False, padding=(0, 1, 0, 0), title=title, title_justify="left")
    made.show_footer = True
    made.add_column("kernel", f"all kernels; the call takes {duration(found.call.median)}")
    made.add_column("time", duration(found.total), justify="right")
    for head in ("share", "GFLOP/s", "of peak", "bytes", "GB/s", "of a copy"):
        made.add_column(head, justify="right", no_wrap=True)
    for one in found.kernels:
        took = one.sample.median
        rate, speed = one.operations / took, one.bytes / took
        made.add_row(
            one.name,
            duration(took),
            f"{took / found.total:.0%}",
            f"{rate / 1e9:.3g}",
            f"{rate / limits.flops:.0%}",
            f"{quantity(one.bytes)}B",
            f"{speed / 1e9:.3g}",
            f"{speed / limits.bandwidth(one.bytes):.0%}",
        )
    return made


def profile_document(profiles: Sequence[Profile], limits: Limits) -> str:
    """Profiles as JSON; times in seconds, rates per second, shares as parts of 1."""
    copies = {str(size): limits.bandwidth(size) for size in (limits.in_cache, limits.in_memory)}
    found = {
        "kgraph": kgraph.__version__,
        "machine": machine(),
        "threads": limits.threads,
        "limits": {"flops": limits.flops, "copied_bytes": copies},
        "profiles": [entry(one, limits) for one in profiles],
    }
    return json.dumps(found, indent=2)


# the document ----------------------------------------------------------------------------------------------------


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


def document(rows: Sequence[Row], peers: Sequence[str], threads: int, notes: Sequence[str] = ()) -> str:
    """Everything, as JSON; times in seconds, memory in bytes. notes: what was left out, and what went wrong."""
    return json.dumps(
        {
            "kgraph": kgraph.__version__,
            "machine": machine(),
            "threads": threads,
            "startup_s": rows[0].facts["startup_s"] if rows else None,
            "peers": {name: PEERS[name].version for name in peers},
            "geometric_means": means(rows, peers),
            "rows": [_entry(row) for row in rows],
            "notes": list(notes),
        },
        indent=2,
    )


def _entry(row: Row) -> dict[str, Any]:
    return {
        "model": row.task.name,
        "batch": row.task.batch,
        "mode": row.mode,
        "kgraph": _times(row.ours),
        "compile_s": row.facts["compile_s"][row.mode],
        "items_per_s": row.task.batch / row.ours.median,
        "operations": row.facts["operations"][row.mode],
        "gflop_per_s": row.gflops,
        "memory_bytes": row.facts["memory_bytes"],
        "peak_rss_bytes": row.facts["peak_rss_bytes"],
        "best": row.best or None,
        "ratio": row.ratio,
        "peers": {name: _peer_entry(row, name) for name in row.peers},
    }


def _peer_entry(row: Row, name: str) -> dict[str, Any]:
    one = row.peers[name]
    if one.absent or one.failed:
        return {key: value for key, value in (("absent", one.absent), ("failed", one.failed)) if value}
    gap = one.difference if isfinite(one.difference) else None  # JSON has no NaN
    found = {**_times(one.sample), "ratio": row.ratio_of(name), "difference": gap}
    return {**found, "way": one.way} if one.way else found


def _times(sample: Sample | None) -> dict[str, Any]:
    if sample is None:
        return {}
    percentiles = {f"p{percent}_s": sample.percentile(percent) for percent in (5, 25, 75, 95)}
    return {"median_s": sample.median, **percentiles, "calls": sample.calls}
