"""Every python block of the README runs, one after the other, as a reader would type them."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[1]
TEXT = (ROOT / "README.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"^```python\n(.*?)^```", TEXT, re.DOTALL | re.MULTILINE)


def test_python_blocks_run(tables_of_ops: None, capsys: pytest.CaptureFixture[str]) -> None:
    assert len(BLOCKS) >= 6
    names: dict[str, Any] = {"__name__": "readme"}
    for number, block in enumerate(BLOCKS):
        line = TEXT[: TEXT.index(block)].count("\n")
        exec(compile("\n" * line + block, "README.md", "exec"), names)
        assert "import" in block or number, "the first block says what is imported"
    assert names["digits"].shape == (32, 10)
    shown = capsys.readouterr().out
    assert "def hidden(" in shown and "hidden/einsum" in shown


def test_files_it_names_are_there() -> None:
    for path in re.findall(r"`((?:docs|examples)/[\w./]+)`", TEXT):
        assert (ROOT / path).exists(), path


def test_commands_it_names_parse() -> None:
    from kgraph.cli import parser

    commands = re.findall(r"^    (?:.*/)?kgraph (.*)$", TEXT, re.MULTILINE)
    assert len(commands) >= 4
    for command in commands:
        parser().parse_args(command.split())


def test_it_starts_with_the_two_commands() -> None:
    head = TEXT.split("\n## ")[0]
    assert "pip install . && .venv/bin/kgraph bench" in head
    assert "-m pytest -n 2" in head
