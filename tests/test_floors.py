"""The floors of kgraph: who may import whom, and how long files, those of tests too, and functions may be."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import networkx as nx
import pytest

ROOT = Path(__file__).parents[1]

# A module, or the folder it is in, imports from rows below its own, or from its own row without circles.
# The two sides of a | do not know each other.
TABLE = """
    9  __init__  __main__  cli  locate  bench
    8  models  training  callbacks  saving  utils  mixed_precision  preprocessing
    7  executable
    6  codegen
    5  layers  initializers  losses  metrics  optimizers  activations  |  passes  gradients
    5  regularizers  constraints  random  backend
    4  ops
    3  tracing  dtype_policies
    2  graph
    1  config  named  registry  allowance
    0  tree  errors  seeds  missing
"""

# The folders of codegen/, likewise: what a kernel is, when it runs, and how each target does that.
CODEGEN = """
    4  targets
    3  cpu  |  cuda
    2  plan
    1  schedule
    0  scalars  native  progress
"""

# Imports stand at the top of a module, but for these and for modules of kgraph that import them at their own top.
IMPORTED_WHEN_USED = {
    "numba": "takes a second to import, and a kernel found in the cache does not need it",
    "networkx": "a quarter of the time in which kgraph is imported; the first graph needs it",
    "cuda": "an extra, kgraph[cuda]",
    "numba_cuda": "an extra, kgraph[cuda]",
    "ml_dtypes": "an extra, kgraph[half]",
    "keras": "the judge of the tests and a rival in the bench, not a dependency",
    "h5py": "an extra, kgraph[keras]",
    "jax": "an extra, kgraph[bench]",
    "torch": "an extra, kgraph[bench]",
    "onnx": "an extra, kgraph[bench]",
    "onnxruntime": "an extra, kgraph[bench]",
    "openvino": "an extra, kgraph[bench]",
    "subprocess": "helpers that compile; a kernel found in the cache needs none",
    "resource": "Windows does not have it",
    "opt_einsum": "only a product of three operands needs it, and importing kgraph stays quick",
    "IPython": "only a notebook has it, and there it is loaded",
    "matplotlib": "an extra, kgraph[plot]",
    "tensorboardX": "an extra, kgraph[tensorboard]",
    "urllib": "only a program that reports to a server needs it, and importing kgraph stays quick",
    "rich": "only tables and bars on a terminal need it, and importing kgraph stays quick",
}

LONGEST_FILE = 399
LONGEST_FUNCTION = 60


@dataclass(frozen=True)
class Import:
    """One imported name: the module it comes from, and how."""

    module: str
    line: int
    at_top: bool
    for_types: bool  # under `if TYPE_CHECKING:`, so it never happens


def module_name(path: Path) -> str:
    """kgraph.passes.fuse for kgraph/passes/fuse.py, kgraph.passes for its __init__."""
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


FILES = {module_name(path): path for path in sorted((ROOT / "kgraph").rglob("*.py"))}


@cache
def tree_of(module: str) -> ast.Module:
    """The syntax tree of a module of kgraph."""
    return ast.parse(FILES[module].read_text(encoding="utf-8"))


def imports_of(module: str) -> list[Import]:
    """Every import of a module, wherever it stands."""
    return [one for statement in tree_of(module).body for one in imports_in(module, statement, True, False)]


def imports_in(module: str, node: ast.AST, at_top: bool, for_types: bool) -> Iterator[Import]:
    """The imports of a statement and of the statements inside it."""
    if isinstance(node, ast.Import | ast.ImportFrom):
        yield from (Import(name, node.lineno, at_top, for_types) for name in imported(module, node))
    typing = isinstance(node, ast.If) and ast.unparse(node.test).endswith("TYPE_CHECKING")
    for child in ast.iter_child_nodes(node):
        yield from imports_in(module, child, at_top and typing, for_types or typing)


def imported(module: str, node: ast.Import | ast.ImportFrom) -> list[str]:
    """The modules that an import names: of `from kgraph import ops`, kgraph.ops."""
    if isinstance(node, ast.Import):
        return [alias.name for alias in node.names]
    base = node.module or ""
    if node.level:
        package = module if FILES[module].stem == "__init__" else module.rpartition(".")[0]
        above = package.split(".")[: len(package.split(".")) - node.level + 1]
        base = ".".join([*above, *filter(None, [base])])
    full = [f"{base}.{alias.name}" for alias in node.names]
    return list(
        dict.fromkeys(name if name in FILES or (part(name) in PLACES and base == "kgraph") else base for name in full)
    )


def part(module: str, depth: int = 1) -> str:
    """The entry of the table that a module belongs to: passes for kgraph.passes.fuse; plan in codegen, at depth 2."""
    words = module.split(".")
    if depth == 2:
        return words[2] if words[1:2] == ["codegen"] and len(words) > 2 else ""
    return words[1] if len(words) > 1 else "__init__"


def places(table: str) -> dict[str, tuple[int, int]]:
    """The floor of each entry, and its side of that floor."""
    rows = [line.split(maxsplit=1) for line in table.strip().splitlines()]
    sides = [(int(floor), side, names) for floor, row in rows for side, names in enumerate(row.split("|"))]
    return {name: (floor, side) for floor, side, names in sides for name in names.split()}


PLACES = places(TABLE)
PLACES_IN_CODEGEN = places(CODEGEN)


def fault(module: str, one: Import) -> str | None:
    """Why a module may not import this, or None."""
    return fault_between(module, one, PLACES, 1) or fault_between(module, one, PLACES_IN_CODEGEN, 2)


def fault_between(module: str, one: Import, table: dict[str, tuple[int, int]], depth: int) -> str | None:
    """Why a module may not import this by one of the tables, whose entries stand at that place in a module's name."""
    importer, target = part(module, depth), part(one.module, depth)
    if importer not in table or target not in table or table[importer] == table[target]:
        return None
    (floor, _), (below, _) = table[importer], table[target]
    if below < floor:
        return None
    where = f"{module}:{one.line} (floor {floor}) imports {one.module} (floor {below})"
    return f"{where}; the two sides of a floor do not know each other" if below == floor else where


def kgraph_imports(module: str) -> list[Import]:
    """The imports of a module that stay inside kgraph."""
    return [one for one in imports_of(module) if one.module.split(".")[0] == "kgraph"]


def comes_late(module: str) -> bool:
    """Whether a module may be imported inside a function."""
    if module.split(".")[0] in IMPORTED_WHEN_USED:
        return True
    own = imports_of(module) if module in FILES else []
    return any(one.at_top and one.module.split(".")[0] in IMPORTED_WHEN_USED for one in own)


def import_graph() -> nx.DiGraph:
    """Who imports whom when the program runs."""
    edges = [(name, one.module) for name in FILES for one in kgraph_imports(name) if not one.for_types]
    return nx.DiGraph(edges)


@pytest.mark.parametrize("module", FILES)
def test_every_module_has_a_floor(module: str) -> None:
    assert part(module) in PLACES, f"put {part(module)} on a floor: add it to TABLE in {Path(__file__).name}"


@pytest.mark.parametrize("module", FILES)
def test_imports_go_down(module: str) -> None:
    faults = [found for one in kgraph_imports(module) if (found := fault(module, one))]
    assert not faults, "\n".join(faults)


@pytest.mark.parametrize("module", FILES)
def test_imports_stand_at_the_top(module: str) -> None:
    inside = [one for one in imports_of(module) if not one.at_top and not comes_late(one.module)]
    assert not inside, "\n".join(f"{module}:{one.line} imports {one.module} below the top" for one in inside)


def test_imports_make_no_circle() -> None:
    graph = import_graph()
    circles = [sorted(circle) for circle in nx.strongly_connected_components(graph) if len(circle) > 1]
    assert circles + list(nx.selfloop_edges(graph)) == []


def test_files_are_short() -> None:
    paths = [*FILES.values(), *sorted((ROOT / "tests").rglob("*.py"))]
    lengths = {path.relative_to(ROOT): len(path.read_text(encoding="utf-8").splitlines()) for path in paths}
    assert {name: length for name, length in lengths.items() if length > LONGEST_FILE} == {}


def test_functions_are_short() -> None:
    nodes = [(module, node) for module in FILES for node in ast.walk(tree_of(module))]
    functions = [(module, node) for module, node in nodes if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)]
    lengths = {f"{module}.{node.name}": (node.end_lineno or 0) - node.lineno + 1 for module, node in functions}
    assert {name: length for name, length in lengths.items() if length > LONGEST_FUNCTION} == {}
