"""What is not measured: peers without a mode, of which nothing is said, and peers without an op, which are named."""

from __future__ import annotations

from pathlib import Path

import pytest

from kgraph.bench import worker
from kgraph.bench.calls import UnknownHere
from kgraph.bench.case import Task, case_of
from kgraph.bench.command import left_out
from kgraph.bench.measure import Row, result_of
from kgraph.bench.peers import EVERY, Peer
from kgraph.bench.timing import Sample

TASK = Task("mlp 64-64-10", 4)


def refusing(*_: object) -> None:
    raise UnknownHere("onnxruntime is told no gradients of sort")


@pytest.mark.parametrize("mode", ["grad", "step"])
def test_nothing_is_said_of_a_peer_that_lacks_a_mode(mode: str, tmp_path: Path) -> None:
    answer = worker.Contestant("onnxruntime", 1).try_mode(case_of(TASK), mode, tmp_path)
    assert answer == {"absent": "onnxruntime knows no mode but forward", "other_modes": True}
    result = result_of({"modes": {mode: answer}}, mode)
    assert result.absent == answer["absent"] and not result.failed
    assert list(left_out([Row(TASK, mode, Sample((1.0,)), {}, {"onnxruntime": result})])) == []


def test_a_peer_that_lacks_an_op_is_named_whatever_its_reason_says(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(EVERY, "onnxruntime", Peer(refusing, ()))  # type: ignore[arg-type]
    answer = worker.Contestant("onnxruntime", 1).try_mode(case_of(TASK), "grad", tmp_path)
    rows = [
        Row(TASK, mode, Sample((1.0,)), {}, {"onnxruntime": result_of({"modes": {mode: answer}}, mode)})
        for mode in ("grad", "step")
    ]
    assert list(left_out(rows)) == ["mlp 64-64-10: onnxruntime was left out: onnxruntime is told no gradients of sort"]
