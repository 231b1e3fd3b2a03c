"""Workers: they build, compare and measure when told, and those that are lost are replaced."""

from __future__ import annotations

import os
from dataclasses import asdict
from pathlib import Path

import pytest

from kgraph.bench.case import Task
from kgraph.bench.measure import Failed, measure
from kgraph.bench.peers import OURS
from kgraph.bench.team import Lost, Team, Worker

TASK = Task("mlp 37-113-29-7", 2)


def test_a_task_is_measured_in_processes_of_its_own() -> None:
    told: list[str] = []
    with Team(1) as team:
        rows = measure(TASK, ["numpy"], team, 0.01, told.append)
        processes = {name: worker.process for name, worker in team.workers.items()}
        assert {OURS, "numpy"} == processes.keys()
        assert os.getpid() not in {one.pid for one in processes.values()}
    assert all(one.poll() is not None for one in processes.values()) and not team.folder.exists()
    assert [row.mode for row in rows] == ["forward", "grad"]
    for row in rows:
        assert row.faults == [] and row.best == "numpy" and row.ratio and row.gflops > 0
        assert row.peers["numpy"].difference < 1e-5
        assert row.ours.calls >= 10 and row.facts["compile_s"][row.mode] > 0
    assert rows[0].facts["operations"]["forward"] < rows[0].facts["operations"]["grad"]
    assert any("numpy builds" in line for line in told)


def test_a_worker_that_dies_marks_its_row_and_the_rest_goes_on() -> None:
    with Team(1) as team:

        def tell(line: str) -> None:
            if line.endswith(": grad"):
                team.workers["numpy"].process.kill()

        forward, grad = measure(TASK, ["numpy"], team, 0.01, tell)
        assert forward.peers["numpy"].sample and not forward.faults
        assert "by signal 9" in grad.peers["numpy"].failed and grad.best == "" and grad.ratio is None
        assert len(grad.faults) == 1
        assert measure(TASK, ["numpy"], team, 0.01, tell=lambda _: None)[1].best == "numpy"


def test_stopping_the_run_ends_the_workers() -> None:
    processes = []

    def tell(line: str) -> None:
        if "numpy builds" in line:
            processes.extend(worker.process for worker in team.workers.values())
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt), Team(1) as team:
        measure(TASK, ["numpy"], team, 0.01, tell)
    assert processes and all(one.poll() is not None for one in processes)


def test_a_worker_that_is_too_slow_is_lost(tmp_path: Path) -> None:
    worker = Worker("numpy", 1, tmp_path)
    try:
        with pytest.raises(Lost, match="too slow"):
            worker.ask(0.001, do="build", task=asdict(TASK), folder=str(tmp_path))
    finally:
        worker.stop()
    assert worker.process.poll() is not None


def test_what_goes_wrong_in_our_own_process_fails_the_task() -> None:
    with Team(1) as team, pytest.raises(Failed, match="regret"):
        measure(Task("mlp 37-113-29-7", 2, loss="regret"), [], team, 0.01, lambda _: None)


def test_requests_are_answered_even_if_they_are_wrong(tmp_path: Path) -> None:
    worker = Worker("numpy", 1, tmp_path)
    try:
        assert worker.ask(60, do="turn", mode="grad", seconds=0.1)["failed"].startswith("KeyError")
        assert worker.ask(60, do="dance")["failed"].startswith("KeyError")
    finally:
        worker.stop()
