"""The command `kgraph`: what it prints, and that mistakes are one line and an exit status."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

import kgraph as kg
from kgraph.cli import FORMATS, main

MODEL = """
import kgraph as kg

def build():
    x = kg.Input((4,), name="x")
    return kg.Model(x, kg.layers.Dense(3, activation="relu", name="hidden")(x))

number = 3

def failing():
    raise RuntimeError("no luck")

def misshapen():
    return kg.layers.Add()([kg.Input((2,)), kg.Input((3,))])

def nothing():
    return None

def unknown():
    return kg.layers.Dense(3, colour="red")

def unbuilt():
    return kg.Sequential([kg.layers.Dense(3)])
"""


@pytest.fixture
def model_file(tmp_path: Path) -> Path:
    path = tmp_path / "tiny_model.py"
    path.write_text(MODEL, encoding="utf-8")
    return path


def one_line(capsys: pytest.CaptureFixture[str]) -> str:
    """What stderr says, which is one line; stdout says nothing."""
    found = capsys.readouterr()
    assert found.out == ""
    assert found.err.startswith("kgraph: ") and found.err.count("\n") == 1, found.err
    return found.err


def test_bench_prints_one_json_document(model_file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    status = main(["bench", f"{model_file}:build", "--batch", "1,3", "--seconds", "0.01", "--threads", "1", "--json"])
    found = capsys.readouterr()
    assert status == 0, found.err
    document = json.loads(found.out)
    assert [(row["batch"], row["mode"]) for row in document["rows"]] == [
        (batch, mode) for batch in (1, 3) for mode in ("forward", "grad")
    ]
    for row in document["rows"]:
        assert row["mode"] == "grad" or row["operations"] == row["batch"] * (2 * 4 * 3 + 3 + 3)
        assert 0 < row["kgraph"]["median_s"] <= row["kgraph"]["p95_s"]
        assert row["compile_s"] > 0 and row["memory_bytes"]["weights"] == 4 * (4 * 3 + 3)
        assert row["best"] == "numpy" and row["ratio"] == row["peers"]["numpy"]["ratio"] > 0
        assert row["peers"]["numpy"]["difference"] < 1e-5
    assert document["geometric_means"]["forward"]["numpy"] > 0


def test_bench_prints_a_table(model_file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["bench", f"{model_file}:build", "--batch", "2", "--seconds", "0.01"]) == 0
    shown = capsys.readouterr().out
    for word in ("batch", "compile", "kgraph", "p95", "items/s", "GFLOP/s", "grad", "memory", "numpy", "ratio"):
        assert word in shown


def test_bench_profiles_the_kernels(model_file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ["bench", f"{model_file}:build", "--batch", "2", "--seconds", "0.001", "--threads", "1", "--profile"]
    assert main(arguments) == 0
    shown = capsys.readouterr().out
    for word in ("tiny_model.py:build, batch 2, forward", "kernel", "hidden", "of peak", "GB/s", "multiply-adds"):
        assert word in shown


def test_a_profile_names_the_layers_as_the_program_does(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "nameless.py"
    path.write_text("from kgraph import *\nmodel = Sequential([Input((4,)), layers.Dense(3)])", encoding="utf-8")
    options = ["--batch", "1,2", "--mode", "forward", "--seconds", "0.001", "--threads", "1", "--profile", "--json"]
    assert main(["bench", str(path), *options]) == 0
    assert "dense_1" not in capsys.readouterr().out


def test_what_a_model_file_prints_does_not_disturb_the_document(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "talkative.py"
    path.write_text("print('hello')\n" + MODEL, encoding="utf-8")
    assert main(["bench", f"{path}:build", "--batch", "1", "--seconds", "0.01", "--json"]) == 0
    found = capsys.readouterr()
    assert json.loads(found.out)["rows"] and "hello" in found.err


@pytest.mark.parametrize("form", FORMATS)
def test_show_prints_every_format(form: str, model_file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["show", f"{model_file}:build", "--format", form]) == 0
    shown = capsys.readouterr().out
    expected = {
        "text": "return hidden",
        "dot": "digraph",
        "source": "def hidden(",
        "asm": "ret",
        "llvm": "define",
    }
    assert expected[form] in shown


def test_show_stops_after_a_pass(model_file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["show", f"{model_file}:build", "--after", "trace"]) == 0
    assert "Dense(x, hidden.kernel, hidden.bias)" in capsys.readouterr().out
    assert main(["show", f"{model_file}:build", "--after", "inline"]) == 0
    assert "einsum" in capsys.readouterr().out


def test_show_takes_a_loss(model_file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["show", f"{model_file}:build", "--after", "gradients", "--loss", "mse"]) == 0
    assert "grad/hidden" in capsys.readouterr().out


def test_a_file_with_one_model_needs_no_name(model_file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = model_file.with_name("single.py")
    path.write_text(MODEL + "\nmodel = build()\n", encoding="utf-8")
    assert main(["show", str(path), "--after", "trace"]) == 0
    assert "return hidden" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("place", "said"),
    [
        ("nowhere.py:model", "there is no such file"),
        ("{file}:model", "has no 'model'"),
        ("{file}", "holds no model"),
        ("{file}:number", "is a int, and no model"),
        ("{file}:nothing", "returns a NoneType"),
        ("{file}:failing", "line 11: RuntimeError: no luck"),
        ("{file}:misshapen", ""),
        ("saved.keras", "there is no such file"),
        ("README.md:model", "is no model: give FILE.py:NAME"),
        ("{file}:unknown", "from tiny_model.py:20"),
        ("{file}:unbuilt", "does not know its inputs yet"),
    ],
)
def test_a_wrong_model_is_one_line(place: str, said: str, model_file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for command in ("bench", "show"):
        assert main([command, place.format(file=model_file)]) == 2
        assert said in one_line(capsys)


@pytest.mark.parametrize(
    ("source", "said"),
    [
        ("import not_there_at_all", "line 1: ModuleNotFoundError: No module named 'not_there_at_all'"),
        ("x = 1\ny = x +", "line 2: SyntaxError"),
        ("import sys\n\nsys.exit(3)", "line 3: SystemExit: 3"),
    ],
)
def test_a_broken_file_is_one_line(source: str, said: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "broken.py"
    path.write_text(source, encoding="utf-8")
    assert main(["show", f"{path}:model"]) == 2
    assert said in one_line(capsys)


def test_the_line_of_a_mistake_is_told_of_a_file_beside_it(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("broken.py").write_text("x = 1\ny = x +", encoding="utf-8")
    Path("failing.py").write_text("x = 1\n\nx / 0", encoding="utf-8")
    for name, said in (("broken", "broken.py, line 2: SyntaxError"), ("failing", "failing.py, line 3: ZeroDivision")):
        assert main(["show", f"{name}.py"]) == 2
        assert said in one_line(capsys)


def test_a_saved_model_is_loaded(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "saved.keras"
    kg.Sequential([kg.Input((4,)), kg.layers.Dense(3, name="hidden")]).save(path)
    assert main(["show", str(path), "--after", "trace"]) == 0
    assert "hidden.kernel" in capsys.readouterr().out
    assert main(["bench", str(path), "--batch", "1", "--mode", "forward", "--seconds", "0.01"]) == 0
    assert "saved.keras" in capsys.readouterr().out
    path.write_bytes(b"no model")
    assert main(["show", str(path)]) == 2
    assert one_line(capsys)


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("", "COMMAND"),
        ("frobnicate", "invalid choice"),
        ("bench --batch x", "--batch: 'x' is not a whole number above 0"),
        ("bench --batch 0", "--batch"),
        ("bench --seconds -1", "--seconds"),
        ("bench --seconds nan", "--seconds"),
        ("bench --threads none", "--threads"),
        ("bench --vs abacus", "and not 'abacus'"),
        ("bench --mode leap", "'leap' is no mode: forward, grad or step"),
        ("bench --loss regret", "unknown loss 'regret'"),
        ("bench mlp", "there is no model 'mlp': give FILE.py:NAME, or one of mlp 64-64-10"),
        ("bench --profile --vs jax", "--profile measures no peers"),
        ("bench --all --batch 3", "--all has models and batch sizes of its own"),
        ("show", "MODEL"),
        ("show x.py:f --format pdf", "--format"),
        ("show x.py:f --after fuse --format asm", "--after goes with --format text or dot"),
    ],
)
def test_a_wrong_command_line_is_one_line(line: str, said: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(line.split()) == 2
    assert said in one_line(capsys)


def test_an_unknown_pass_and_loss_are_named(model_file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["show", f"{model_file}:build", "--after", "melt"]) == 2
    assert "no pass 'melt'; the stages are trace, inline" in one_line(capsys)
    assert main(["show", f"{model_file}:build", "--loss", "regret"]) == 2
    assert "regret" in one_line(capsys)


def test_a_missing_extra_is_one_line(
    model_file: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "jax", None)
    arguments = ["bench", f"{model_file}:build", "--batch", "1", "--seconds", "0.01", "--vs", "jax"]
    assert main(arguments) == 1
    assert "pip install kgraph[bench]" in one_line(capsys)


def test_a_batch_too_large_for_memory_is_one_line(model_file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["bench", f"{model_file}:build", "--batch", "99999999999999", "--profile"]) == 1
    assert "Unable to allocate" in one_line(capsys)


def test_version_and_help_load_no_compiler() -> None:
    packages = "'numba', 'networkx', 'rich', 'jax', 'kgraph.bench.command'"
    for option, said in (("--version", "kgraph 0."), ("--help", "bench")):
        loaded = f"print(any(name in sys.modules for name in ({packages})))"
        code = f"import sys; from kgraph.cli import main\ntry: main(['{option}'])\nfinally: {loaded}"
        found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
        assert said in found.stdout and found.stdout.endswith("False\n")


def test_it_is_a_module_too(model_file: Path) -> None:
    command = [sys.executable, "-m", "kgraph", "show", f"{model_file}:number"]
    found = subprocess.run(command, capture_output=True, text=True)
    assert found.returncode == 2 and found.stdout == "" and found.stderr.count("\n") == 1


def test_a_reader_may_leave_early(model_file: Path) -> None:
    command = (
        f"'{sys.executable}' -m kgraph show '{model_file}:build' --format llvm | head -n 1; echo ${{PIPESTATUS[0]}}"
    )
    found = subprocess.run(["bash", "-c", command], capture_output=True, text=True)
    assert "Traceback" not in found.stderr


@pytest.mark.parametrize(("output", "said"), [(">&-", "standard output is closed"), ("> /dev/full", "No space left")])
def test_an_output_that_takes_nothing_is_one_line(output: str, said: str, model_file: Path) -> None:
    if "full" in output and not Path("/dev/full").exists():
        pytest.skip("there is no /dev/full here")
    command = f"'{sys.executable}' -m kgraph show '{model_file}:build' --after trace {output}"
    found = subprocess.run(["bash", "-c", command], capture_output=True, text=True)
    assert found.returncode in (1, 2)
    assert said in found.stderr and found.stderr.count("\n") == 1
