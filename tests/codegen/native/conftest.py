"""Tasks in machine code for the tests of the pool and the runner, and a way to run text in a new process."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from llvmlite import ir

from kgraph.codegen.native import emit, objects
from kgraph.codegen.native.emit import I64, PTR, at, load, number, store
from kgraph.codegen.native.pack import PACKERS
from kgraph.codegen.native.runtime import Runtime, need, runtime
from kgraph.codegen.native.tile import TILES

ROOT = Path(__file__).parents[3]


@pytest.fixture(scope="session")
def native() -> Runtime:
    need((*TILES, *PACKERS))
    return runtime()


@pytest.fixture(scope="session")
def tasks() -> dict[str, int]:
    """count(out, bounds): out[i] += i + 1, bounds[begin] = end. copy(from, to). fail(begin, status)."""
    module = ir.Module("tasks")
    for name, body in (("count", count_body), ("copy", copy_body), ("fail", fail_body)):
        made, build = emit.function(module, f"test_{name}", I64, [PTR, I64, I64])
        build.ret(body(build, *made.args))
    addresses = objects.load(objects.compile_ir(str(module)), ["test_count", "test_copy", "test_fail"])
    return {name.removeprefix("test_"): address for name, address in addresses.items()}


def count_body(build: ir.IRBuilder, args: ir.Value, begin: ir.Value, end: ir.Value) -> ir.Value:
    out, bounds = load(build, args, PTR), load(build, at(build, args, 1), PTR)
    store(build, end, at(build, bounds, begin))
    with emit.loop(build, begin, end) as index:
        place = at(build, out, index)
        store(build, build.add(load(build, place), build.add(index, number(1))), place)
    return number(0)


def copy_body(build: ir.IRBuilder, args: ir.Value, begin: ir.Value, end: ir.Value) -> ir.Value:
    source, target = load(build, args, PTR), load(build, at(build, args, 1), PTR)
    with emit.loop(build, begin, end) as index:
        store(build, load(build, at(build, source, index)), at(build, target, index))
    return number(0)


def fail_body(build: ir.IRBuilder, args: ir.Value, begin: ir.Value, end: ir.Value) -> ir.Value:
    place, status = load(build, args), load(build, at(build, args, 1))
    return build.select(build.icmp_signed("==", begin, place), status, number(0))


@pytest.fixture
def python():
    """Run Python text in a new process with extra environment variables; its output."""

    def run(text: str, **environment: str) -> str:
        full = {**os.environ, "PYTHONPATH": str(ROOT), **environment}
        done = subprocess.run([sys.executable, "-c", text], env=full, capture_output=True, text=True, timeout=120)
        assert done.returncode == 0, done.stderr
        return done.stdout.strip()

    return run
