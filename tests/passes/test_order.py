"""All passes in their order: stages are recorded, checked, shown, written; random graphs keep their meaning."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from graphs import made, numbers, same, values
from hypothesis import given, settings
from hypothesis import strategies as st

from kgraph.gradients.autodiff import gradients
from kgraph.graph.check import check
from kgraph.graph.ir import Graph
from kgraph.graph.sizes import N
from kgraph.graph.types import TensorType
from kgraph.ops.arithmetic import maximum, negative, square
from kgraph.ops.contract import einsum
from kgraph.ops.move import broadcast_to, concatenate, flip, pad, reshape, slice_, transpose
from kgraph.ops.reduce import max_row, sum_row
from kgraph.ops.transcendental import exp, sqrt, tanh
from kgraph.passes import AFTER_GRADIENTS, BEFORE_GRADIENTS, run

OPTIMISE = {name: step for name, step in AFTER_GRADIENTS.items() if name != "fuse"}


def test_every_stage_is_recorded_in_order() -> None:
    stages: dict[str, Graph] = {"trace": made(lambda x: tanh(x + 0), (N, 3))}
    last = run(stages["trace"], {**BEFORE_GRADIENTS}, stages)
    last = run(last, AFTER_GRADIENTS, stages)
    assert list(stages)[:2] == ["trace", "inline"]
    assert [name for name in stages if name.startswith("simplify")] == ["simplify", "simplify#1"]
    assert stages[list(stages)[-1]] is last


def test_a_pass_that_breaks_the_graph_is_named() -> None:
    def broken(graph: Graph) -> Graph:
        graph = graph.copy()
        graph.set("tanh", type=TensorType((9,)))
        return graph

    with pytest.raises(RuntimeError, match="the graph after broken is broken: tanh is"):
        run(made(lambda x: tanh(x), (N, 3)), {"broken": broken})


def test_stages_are_shown_and_written(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    monkeypatch.setenv("KGRAPH_SHOW", "simplify,einsum")
    monkeypatch.setenv("KGRAPH_DUMP", str(tmp_path / "stages"))
    before = made(lambda x: tanh(x + 0), (N, 3))
    run(before, OPTIMISE, {"trace": before})
    said = capsys.readouterr().err
    assert said.startswith("# simplify\n  x0   = input()")
    assert said.count("# ") == 2
    files = sorted(path.name for path in (tmp_path / "stages").iterdir())
    assert files[:3] == ["01_widen.txt", "02_open.txt", "03_loops.txt"]
    assert "tanh(x0)" in (tmp_path / "stages" / "05_simplify.txt").read_text()


def test_passes_leave_their_argument_alone() -> None:
    before = made(lambda x, y: tanh(einsum(transpose(x, axes=(1, 0)), y, spec="ab,bc->ac") + 0), (3, N), (3, 4))
    for name, step in {**BEFORE_GRADIENTS, **AFTER_GRADIENTS}.items():
        text = str(before)
        step(before)
        assert str(before) == text, name


def test_a_large_graph_takes_no_longer_than_a_second_and_a_half() -> None:
    def call(x: Any, w: Any) -> Any:
        for _ in range(60):
            x = x + tanh(einsum(x, w, spec="ab,bc->ac") * 1.0 + 0.0) / 2.0
        return sum_row(square(x), axes=(0, 1), keepdims=False)

    before = made(call, (N, 8), (8, 8))
    before = gradients(before, before.outputs[0], before.inputs)
    assert len(before) > 900
    start = time.process_time()
    for step in OPTIMISE.values():
        before = step(before)
    assert time.process_time() - start < 3


# random graphs ---------------------------------------------------------------------------------------------------


def raised(x: Any) -> Any:
    """x with an axis of size 1 in front."""
    return reshape(x, shape=(1, *x.type.shape))


UNARY = (
    lambda x: tanh(x),
    lambda x: square(tanh(x)),
    lambda x: exp(-square(x)),
    lambda x: x * 1.0 + 0.0,
    lambda x: negative(negative(x)) / 2.0,
    lambda x: 1.0 / sqrt(square(x) + 1.0),
    lambda x: x**3.0 * 0.1,
    lambda x: transpose(x, axes=(1, 0)),
    lambda x: transpose(transpose(x, axes=(1, 0)), axes=(1, 0)),
    lambda x: reshape(reshape(x, shape=(x.type.size,)), shape=x.type.shape[::-1]),
    lambda x: broadcast_to(sum_row(x, axes=(1,), keepdims=True), shape=x.type.shape) * 0.3,
    lambda x: x - max_row(x, axes=(0,), keepdims=True),
    lambda x: sum_row(raised(x), axes=(0,), keepdims=False),
    lambda x: flip(x, axes=(1,)),
    lambda x: slice_(
        pad(x, 0.5, low=(0, 1), high=(0, 2), interior=(0, 1)), starts=(0, 1), sizes=x.type.shape, steps=(1, 1)
    ),
    lambda x: einsum(x, x, spec="ab,cb->ac") * 0.2,
    lambda x: einsum(x, spec="ab->ba"),
    lambda x: einsum(x, x, x, spec="ab,cb,cd->ad") * 0.1,
)
BINARY = (
    lambda x, y: x + y,
    lambda x, y: x * tanh(y),
    lambda x, y: x - -y,
    lambda x, y: x / (square(y) + 1.0),
    lambda x, y: maximum(x, y),
    lambda x, y: sum_row(concatenate(*map(raised, (x, y)), axis=0), axes=(0,), keepdims=False),
)  # fmt: skip


@st.composite
def random_graphs(draw: Any) -> Graph:
    """A graph of matrices, of which two of one shape are combined, and its loss."""
    steps = draw(
        st.lists(st.tuples(st.integers(0, 10), st.integers(0, 10), st.integers(0, 40)), min_size=1, max_size=9)
    )

    def call(*xs: Any) -> Any:
        made = list(xs)
        for left, right, op in steps:
            x = made[left % len(made)]
            others = [y for y in made if y.type.shape == x.type.shape]
            if op % 2 and len(others) > 1:
                made.append(BINARY[op % len(BINARY)](x, others[right % len(others)]))
            else:
                made.append(UNARY[op % len(UNARY)](x))
        return [sum_row(tanh(made[-1]), axes=(0, 1), keepdims=False), made[-2]]

    return made(call, (3, 4), (4, 3), (3, 4))


@settings(max_examples=150, deadline=None)
@given(random_graphs())
def test_random_graphs_and_their_gradients_mean_the_same_after_all_passes(before: Graph) -> None:
    given_ = numbers(before, seed=3)
    after = before
    for name, step in BEFORE_GRADIENTS.items():
        after = check(step(after), name)
    same(before, after, 1e-3, given_)
    plain = check(gradients(before, before.outputs[0], before.inputs))
    after = check(gradients(after, after.outputs[0], after.inputs))
    for name, step in OPTIMISE.items():
        after = check(step(after), name)
    same(plain, after, 2e-3, given_)


@settings(max_examples=60, deadline=None)
@given(random_graphs())
def test_gradients_of_random_graphs_agree_with_differences(before: Graph) -> None:
    given_ = [x.astype("float64") for x in numbers(before, seed=4)]
    found = values(check(gradients(before, before.outputs[0], before.inputs)), given_, "float64")[2:]
    random = np.random.default_rng(5)
    direction = [random.normal(size=x.shape) for x in given_]
    slope = sum(float((gradient * d).sum()) for gradient, d in zip(found, direction, strict=True))
    ends = [
        values(before, [x + step * d for x, d in zip(given_, direction, strict=True)], "float64")[0]
        for step in (1e-6, -1e-6)
    ]
    np.testing.assert_allclose(slope, (ends[0] - ends[1]) / 2e-6, rtol=1e-4, atol=1e-5)
