"""Numbers as people read them, and as programs do."""

from __future__ import annotations

import json

import pytest

from kgraph.bench.case import Task
from kgraph.bench.measure import Result, Row, geometric_mean, means
from kgraph.bench.report import document, duration, markdown, quantity, tables
from kgraph.bench.timing import Sample

FACTS = {
    "startup_s": 0.5,
    "compile_s": {"forward": 0.1, "grad": 0.2},
    "operations": {"forward": 1000, "grad": 3000},
    "memory_bytes": {"arena": 1, "weights": 2, "prepared": 3, "total": 6},
    "peak_rss_bytes": 1 << 26,
}


def row(mode: str, ours: float, **peers: float | str) -> Row:
    """A row with these seconds; a text says why a peer has none."""
    results = {
        name: Result(failed=value) if isinstance(value, str) else Result(Sample((value,) * 4), 1e-7)
        for name, value in peers.items()
    }
    return Row(Task("mlp 64-64-10", 4), mode, Sample((ours,) * 4), FACTS, results)


ROWS = [
    row("forward", 1e-6, jax=4e-6, torch=2e-6),
    row("forward", 1e-3, jax=5e-4, torch="its process ended by signal 11"),
    row("grad", 1e-5, jax=3e-5, torch=6e-5),
]


@pytest.mark.parametrize(
    ("seconds", "shown"),
    [
        (2.5, "2.5 s"),
        (0.014, "14 ms"),
        (3.14e-6, "3.14 µs"),
        (4.2e-7, "0.42 µs"),
        (1234.0, "1234 s"),
        (0.99996, "1 s"),
        (9.9999e-4, "1 ms"),
    ],
)
def test_durations(seconds: float, shown: str) -> None:
    assert duration(seconds) == shown


@pytest.mark.parametrize(
    ("number", "shown"), [(950, "950 "), (12345, "12.3 k"), (4.5e6, "4.5 M"), (999_999, "1 M"), (0, "0 ")]
)
def test_quantities(number: float, shown: str) -> None:
    assert quantity(number) == shown


def test_geometric_means_are_of_what_is_there() -> None:
    assert geometric_mean([4.0, 1.0, None]) == pytest.approx(2.0)
    assert geometric_mean([None]) is None
    found = means(ROWS, ["jax", "torch"])
    assert found["forward"] == pytest.approx({"best": 1.0, "jax": 2**0.5, "torch": 2.0})
    assert found["grad"] == pytest.approx({"best": 3.0, "jax": 3.0, "torch": 6.0})


def test_a_peer_with_other_numbers_is_a_fault_and_never_the_best() -> None:
    found = row("forward", 1e-6, jax=1e-7, torch=2e-6)
    found.peers["jax"].difference = 0.5
    assert found.best == "torch"
    assert found.faults == ["mlp 64-64-10, batch 4, forward: the numbers of jax differ by 5.0e-01"]


def test_the_document_has_every_number() -> None:
    found = json.loads(document(ROWS, ["jax"], 2, ["a note"]))
    assert found["threads"] == 2 and found["notes"] == ["a note"] and found["peers"].keys() == {"jax"}
    assert found["geometric_means"]["grad"]["best"] == pytest.approx(3.0)
    first, second, _ = found["rows"]
    assert (first["model"], first["batch"], first["mode"], first["best"]) == ("mlp 64-64-10", 4, "forward", "torch")
    assert first["ratio"] == pytest.approx(2.0) and first["gflop_per_s"] == pytest.approx(1.0)
    assert first["kgraph"]["median_s"] == first["kgraph"]["p25_s"] == 1e-6
    assert first["peers"]["jax"]["ratio"] == pytest.approx(4.0)
    assert second["peers"]["torch"] == {"failed": "its process ended by signal 11"}


def test_the_markdown_table_marks_the_best() -> None:
    lines = markdown(ROWS, "forward", ["jax", "torch"]).splitlines()
    assert lines[0] == "| model | batch | kgraph | jax | torch | best / kgraph |"
    assert lines[2] == "| mlp 64-64-10 | 4 | 1 | 4 | **2** | 2.00 |"
    assert lines[3] == "| mlp 64-64-10 | 4 | 1000 | **500** | failed | 0.50 |"
    assert lines[4].endswith("| 1.41 | 2.00 | 1.00 |")


def test_a_table_leaves_out_who_computes_no_gradients() -> None:
    (whole,) = tables(ROWS[2:], "grad", ["jax", "openvino"], 200)
    heads = [str(column.header) for column in whole.columns]
    assert "jax" in heads and "compile" in heads and "openvino" not in heads


def test_a_table_that_is_too_wide_becomes_two() -> None:
    first, second = tables(ROWS[:2], "forward", ["jax", "torch"], 80)
    heads = [str(column.header) for one in (first, second) for column in one.columns]
    assert heads.count("model") == 2 and len(set(heads)) == len(heads) - 2
    assert {str(column.header): str(column.footer) for column in first.columns}["ratio"] == "1.00x"
    assert first.row_count == second.row_count == 2 and not second.show_footer
