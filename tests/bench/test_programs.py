"""The programs in benchmarks/: a command line that asks for nothing they can measure is refused."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize(
    ("program", "arguments", "message"),
    [
        ("run.py", ["--mode", "gard"], "'gard' is no mode: forward, grad or step"),
        (
            "run.py",
            ["--only", "nonsense"],
            "no cell for forward,grad,step has 'nonsense' in its 'MODEL, batch N': mlp 64",
        ),
        ("run.py", ["--vs", "abacus"], "and not 'abacus'"),
        ("run.py", ["--threads", "0"], "'0' is not a whole number above 0"),
        ("run.py", ["--into", "README.md"], "README.md is no document with the comments <!-- figures -->"),
        ("cells.py", ["--seconds", "0"], "'0' is not a number of seconds"),
        ("workflow.py", ["--epochs", "0"], "'0' is not a whole number above 0"),
        ("workflow.py", ["--widths", "3"], "two widths or more are needed, not '3'"),
        ("workflow.py", ["--widths", "3,0"], "two widths or more are needed, not '3,0'"),
        ("workflow.py", ["--widths", "3,wide"], "two widths or more are needed, not '3,wide'"),
    ],
)
def test_command_lines_that_ask_for_nothing_are_refused(program: str, arguments: list[str], message: str) -> None:
    command = [sys.executable, str(ROOT / "benchmarks" / program), *arguments]
    found = subprocess.run(command, capture_output=True, text=True, check=False)
    assert found.returncode == 2 and message in found.stderr and not found.stdout
