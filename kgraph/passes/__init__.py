"""The passes, in the order in which they run. Importing a file registers nothing; these tables are the register."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping

from kgraph import config
from kgraph.graph.check import check
from kgraph.graph.ir import Graph
from kgraph.passes.align import align
from kgraph.passes.by_table import by_whole_table
from kgraph.passes.chain import chain
from kgraph.passes.einsum import canonicalise
from kgraph.passes.fold import fold
from kgraph.passes.fuse import fuse
from kgraph.passes.inline import inline
from kgraph.passes.loops import in_bodies, lighten
from kgraph.passes.merge import merge
from kgraph.passes.open import open_composed
from kgraph.passes.simplify import simplify, simplify_all
from kgraph.passes.stabilise import stabilise
from kgraph.passes.tables import look_up_products
from kgraph.passes.totals import sum_columns_first
from kgraph.passes.widen import widen, widen_sums

Pass = Callable[[Graph], Graph]

BEFORE_GRADIENTS: dict[str, Pass] = {
    "inline": inline,
    "stabilise": in_bodies(stabilise),
    "fold": in_bodies(fold),
    "simplify": in_bodies(simplify),
    "einsum": in_bodies(canonicalise),
    "merge": in_bodies(merge),
    "loops": in_bodies(lighten),
}
AFTER_GRADIENTS: dict[str, Pass] = {
    "widen": widen,
    "open": in_bodies(open_composed),
    "loops": in_bodies(lighten),
    "fold": in_bodies(fold),
    "simplify": in_bodies(simplify_all),
    "einsum": in_bodies(canonicalise),
    "tables": by_whole_table,
    "align": in_bodies(align),
    "merge": in_bodies(merge),
    "tidy": in_bodies(simplify_all),  # what the einsums left: a reshape of a reshape, a product with a constant
    "totals": sum_columns_first,
    "fuse": in_bodies(fuse),
}
WITHOUT_GRADIENTS: dict[str, Pass] = {"tables": look_up_products}  # in the place of those: weights stand still
OF_TARGET: dict[str, dict[str, Pass]] = {  # for what its kernels can do: in the place of those, or else last
    "cpu": {"chain": in_bodies(chain)},
    "cuda": {"widen": in_bodies(widen_sums)},
}


def run(graph: Graph, passes: Mapping[str, Pass], stages: dict[str, Graph] | None = None) -> Graph:
    """The graph after these passes; each stage is noted in `stages` under the pass's name.

    With KGRAPH_CHECK=1 every stage is checked; those that KGRAPH_SHOW names are printed to stderr, and with KGRAPH_DUMP
    all are written to numbered files. A stage whose name `stages` has already is noted as simplify#1, simplify#2.
    """
    stages = {} if stages is None else stages
    for name, step in passes.items():
        graph = step(graph)
        if config.checking():
            check(graph, name)
        stage = unused(name, stages)
        stages[stage] = graph
        tell(len(stages) - 1, stage, graph)
    return graph


def unused(name: str, stages: Mapping[str, Graph]) -> str:
    """name, or name#1, name#2, ... where there is such a stage already."""
    number, stage = 0, name
    while stage in stages:
        number += 1
        stage = f"{name}#{number}"
    return stage


def tell(number: int, stage: str, graph: object) -> None:
    """Print and write a stage, or the text of one, where the environment asks for it."""
    if stage.partition("#")[0] in config.shown():
        print(f"# {stage}\n{graph}", file=sys.stderr)
    folder = config.dump_dir()
    if folder is not None:
        folder.mkdir(parents=True, exist_ok=True)
        (folder / f"{number:02}_{stage.replace('#', '_')}.txt").write_text(f"{graph}\n", encoding="utf-8")
