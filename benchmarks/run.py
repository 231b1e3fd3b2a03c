"""The full comparison: every cell beside every peer that is installed, as JSON and as tables in Markdown.

    python benchmarks/run.py --into docs/performance.md        an hour or two on two cores
    python benchmarks/run.py --only "dense 512" --mode step --out results

The files are written anew after each cell, so a run that is stopped leaves what it has. A document given with --into
gets the tables at the end, between its two comments about figures.
"""

from __future__ import annotations

from argparse import ArgumentParser, Namespace
from collections.abc import Iterator, Sequence
from pathlib import Path
from time import perf_counter

from kgraph import config
from kgraph.bench.case import MODES, Task
from kgraph.bench.command import both, left_out
from kgraph.bench.measure import Failed, Row, measure
from kgraph.bench.models import CELLS
from kgraph.bench.peers import PEERS, not_installed, peers_named
from kgraph.bench.report import document, machine, markdown
from kgraph.bench.team import Team
from kgraph.cli import modes, positive, positive_seconds
from kgraph.errors import KGraphError

BEGIN, END = "<!-- figures -->", "<!-- end of figures -->"


def main() -> None:
    """Measure, and write after each cell."""
    options = arguments()
    tasks, peers = options.tasks, options.peers
    threads = options.threads or config.num_threads()
    rows: list[Row] = []
    notes = not_installed() if options.vs == "all" else []
    started = perf_counter()
    with Team(threads) as team:
        for number, task in enumerate(tasks, 1):
            minutes = (perf_counter() - started) / 60
            print(f"{number}/{len(tasks)} {task.name}, batch {task.batch}, after {minutes:.0f} minutes", flush=True)
            try:
                rows += measure(task, peers, team, options.seconds, lambda _: None)
            except Failed as error:
                notes.append(str(error))
            faults = [fault for row in rows for fault in row.faults]
            said = [*notes, *left_out(rows), *faults]
            write(options.out, rows, peers, threads, said)
    if options.into and rows:
        put_into(options.into, "\n".join([conditions(peers, threads), *sections(rows, peers, said)]))


def arguments() -> Namespace:
    """The command line, with the tasks and peers that it asks for."""
    made = ArgumentParser(description="Measure every cell of the full comparison.")
    made.add_argument("--out", type=Path, default=Path("benchmarks/results"), help="the folder to write into")
    made.add_argument("--into", type=Path, help="a document to put the tables into")
    made.add_argument("--only", default="", help="only cells with this in 'MODEL, batch N'")
    made.add_argument(
        "--mode", type=modes, default=MODES, metavar="MODE,...", help="forward, grad, step (default: all)"
    )
    made.add_argument("--vs", default="all", help="the peers, as for kgraph bench")
    made.add_argument("--threads", type=positive, help="CPUs for each contestant (default: all)")
    made.add_argument(
        "--seconds", type=positive_seconds, default=0.5, help="for how long each call is measured (default: 0.5)"
    )
    options = made.parse_args()
    options.tasks = tasks_of(options)
    if not options.tasks:
        models = ", ".join(dict.fromkeys(name for name, _, _ in CELLS))
        made.error(f"no cell for {','.join(options.mode)} has {options.only!r} in its 'MODEL, batch N': {models}")
    if options.into and not has_place(options.into):
        made.error(f"{options.into} is no document with the comments {BEGIN} and {END}")
    try:
        options.peers = peers_named(options.vs)
    except KGraphError as error:
        made.error(str(error))
    return options


def tasks_of(options: Namespace) -> list[Task]:
    """The cells that have what is asked for."""
    cells = [(name, batch, both(options.mode, has)) for name, batch, has in CELLS]
    return [Task(*cell) for cell in cells if cell[2] and options.only in f"{cell[0]}, batch {cell[1]}"]


def has_place(path: Path) -> bool:
    """Whether there is a place for figures."""
    return path.is_file() and END in path.read_text(encoding="utf-8").partition(BEGIN)[2]


def write(folder: Path, rows: Sequence[Row], peers: Sequence[str], threads: int, notes: Sequence[str]) -> None:
    """performance.json and performance.md."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "performance.json").write_text(document(rows, peers, threads, notes) + "\n", encoding="utf-8")
    (folder / "performance.md").write_text("\n".join(sections(rows, peers, notes)), encoding="utf-8")


def conditions(peers: Sequence[str], threads: int) -> str:
    """On what, and beside which versions."""
    here = machine()
    versions = ", ".join(f"{name} {PEERS[name].version}" for name in peers)
    return f"{here['cpu']}, {threads} threads, Python {here['python']}, {here['system']}; {versions}.\n"


def put_into(path: Path, text: str) -> None:
    """Replace what stands between the comments about figures."""
    before, _, rest = path.read_text(encoding="utf-8").partition(BEGIN)
    _, _, after = rest.partition(END)
    path.write_text(f"{before}{BEGIN}\n{text.rstrip()}\n{END}{after}", encoding="utf-8")


def sections(rows: Sequence[Row], peers: Sequence[str], notes: Sequence[str]) -> Iterator[str]:
    """A table for each mode, in microseconds, and what there is to say."""
    for mode in (mode for mode in MODES if any(row.mode == mode for row in rows)):
        yield f"### {mode}, microseconds\n"
        yield markdown(rows, mode, peers)
    yield from (f"- {note}" for note in notes)


if __name__ == "__main__":
    main()
