"""The examples run, and what they claim is so."""

from __future__ import annotations

import runpy
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

EXAMPLES = Path(__file__).parents[1] / "examples"


def example(name: str) -> dict[str, Any]:
    """The names of an example, which did not run its main yet."""
    return runpy.run_path(str(EXAMPLES / f"{name}.py"))


def test_digits_are_learned(capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("sklearn")
    assert example("digits")["main"]() >= 0.96
    assert "one image" in capsys.readouterr().out


def test_what_trains_learns(capsys: pytest.CaptureFixture[str]) -> None:
    assert min(example("several_inputs")["main"]()) > 0.9
    assert example("custom_train_step")["main"]() > 0.85
    assert "apart" in capsys.readouterr().out


@pytest.mark.filterwarnings("ignore")  # those of Keras
def test_files_go_to_keras_and_back(capsys: pytest.CaptureFixture[str]) -> None:
    assert max(example("keras_file")["main"]()) < 1e-5
    assert "apart" in capsys.readouterr().out


def test_a_shared_tower_has_two_nodes_and_one_set_of_weights(capsys: pytest.CaptureFixture[str]) -> None:
    model, tower, f = example("shared_tower")["main"]()
    shown = capsys.readouterr().out
    assert "tower#1" in model.graph and "tower#1" in shown
    assert tower.get_output_at(0) is not tower.get_output_at(1)
    assert tower.get_input_at(0).name == "left" and tower.get_input_at(1).name == "right"
    assert len(model.trainable_variables) == 6
    left, right = np.random.default_rng(1).random((2, 5, 64), dtype=np.float32)
    np.testing.assert_allclose(f(left, right), f(right, left), rtol=1e-5)


def test_every_stage_can_be_looked_at(capsys: pytest.CaptureFixture[str]) -> None:
    f = example("look_inside")["main"]()
    shown = capsys.readouterr().out
    for name in ("trace", "inline", "fuse"):
        assert f"--- after {name}" in shown
    assert "def hidden(" in shown
    assert len(f.stages["trace"]) > 0
    kernels = [node for node in f.ir if node.op not in ("input", "param", "const")]
    assert len(kernels) == 2, "each Dense is one kernel, its bias and activation inside"


def test_an_op_is_one_row(tables_of_ops: None) -> None:
    value_error, gradient_error = example("add_an_op")["main"]()
    assert value_error < 1e-5
    assert gradient_error < 1e-3


def test_a_control_loop_runs_inside_numba(capsys: pytest.CaptureFixture[str]) -> None:
    angles, *costs = example("control_loop")["main"](steps=500)
    assert angles[0] == pytest.approx(angles[1], rel=1e-4)
    assert all(cost > 0 for cost in costs)
    assert "one step in numba" in capsys.readouterr().out


@pytest.mark.skipif(sys.platform != "linux", reason="export writes libraries for Linux")
def test_a_program_in_c_computes_the_same(capsys: pytest.CaptureFixture[str]) -> None:
    first, *others = example("export_c")["main"]()
    assert all(np.array_equal(first, other) for other in others)
    assert "int policy(const float *state, int64_t N, float *out);" in capsys.readouterr().out


def test_every_example_is_tested() -> None:
    text = Path(__file__).read_text(encoding="utf-8")
    assert [path.stem for path in sorted(EXAMPLES.glob("*.py")) if f'"{path.stem}"' not in text] == []


@pytest.mark.parametrize("name", ["custom_layer", "custom_cell", "attention_block"])
def test_what_the_others_assert_holds(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    example(name)["main"]()
    assert capsys.readouterr().out
