"""The kernels' text as people read it: Python that says what it reads, and sizes in the graph's axes."""

from __future__ import annotations

import ast

import pytest

import kgraph as kg
from kgraph.bench.models import MODELS
from kgraph.codegen.plan.show import factor
from kgraph.graph.sizes import axis

NAMES = ("mlp 64-64-10", "normalised mlp", "separable 56 x 56 x 64", "lstm 100 x 64", "embedding 20 x 32")


def free_names(function: ast.FunctionDef) -> set[str]:
    """What a function reads that is neither its own nor called."""
    names = [node for node in ast.walk(function) if isinstance(node, ast.Name)]
    called = {node.func.id for node in ast.walk(function) if isinstance(node, ast.Call) and hasattr(node.func, "id")}
    own = {one.arg for one in function.args.args} | {name.id for name in names if isinstance(name.ctx, ast.Store)}
    return {name.id for name in names} - own - called - {"cuda"}


@pytest.mark.parametrize("target", ["cpu", "cuda"])
@pytest.mark.parametrize("name", NAMES)
def test_the_text_of_every_kernel_is_python_with_all_that_it_reads(name: str, target: str) -> None:
    for loss in (None, "mse"):
        source = kg.compile(MODELS[name](), loss=loss, target=target, lower_only=True).source
        functions = ast.parse(source).body
        assert functions
        for function in functions:
            assert isinstance(function, ast.FunctionDef)
            assert not free_names(function), function.name


def test_a_size_that_is_no_name_stands_in_parentheses() -> None:
    assert [factor(size) for size in (64, axis("T_3"), axis("T") + 2)] == ["64", "T_3", "(T + 2)"]


def test_a_kernel_takes_the_axes_of_the_graph_and_no_numbers() -> None:
    x = kg.Input((7, 3), name="x")
    made = kg.layers.ZeroPadding1D(1, name="wider")(x)
    assert "def wider(x, out, N, begin, end):" in kg.compile(kg.Model(x, made), lower_only=True).source


@pytest.mark.parametrize("name", ["row", "tiles", "panel", "begin", "out", "kernel", "min", "cuda"])
@pytest.mark.parametrize("target", ["cpu", "cuda"])
def test_no_name_of_a_graph_is_taken_for_one_of_the_kernel(name: str, target: str) -> None:
    x = kg.Input((9,), name=name)
    made = kg.compile(kg.Model(x, kg.layers.Dense(40, name=f"{name}_after")(x)), target=target, lower_only=True)
    for function in ast.parse(made.source).body:
        assert isinstance(function, ast.FunctionDef)
        names = {
            node.id for node in ast.walk(function) if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store)
        }
        given = {one.arg for one in function.args.args}
        assert not names & given
        assert function.name not in names | given
