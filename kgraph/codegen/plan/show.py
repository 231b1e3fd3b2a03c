"""Generated kernels as people read them: the graph's names in place of the canonical ones, the graph's line above."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence

from kgraph.codegen.plan.steps import Step
from kgraph.codegen.schedule.kernel import Check, Kernel, Sort
from kgraph.graph.show import line
from kgraph.graph.sizes import Dim, Size

WORD = re.compile(r"\b([a-z]+\d*\b|a\d+(?=_))")  # what may be a canonical name


def shown_source(step: Step, printer: Callable[[Kernel], str]) -> str:
    """A kernel's text with the names of the graph's values and axes."""
    kernel = step.kernel
    names = {name: factor(size) for name, size in zip(kernel.sizes, step.sizes, strict=True)}
    axes = sorted({axis for size in step.sizes if isinstance(size, Size) for axis in size.axes})
    text = signature(printer(kernel), kernel.sizes, axes)
    stems = dict(kernel.stems) or {p.name: b for p, b in zip(kernel.parameters, step.buffers, strict=True)}
    for parameter, buffer in zip(kernel.parameters, step.buffers, strict=True):
        stems[parameter.name] = buffer
    stems.pop("total", None)
    taken = {*axes, *(word for word in re.findall(r"[^\W\d]\w*", text) if word not in stems)}
    for canonical, stem in stems.items():
        if canonical not in ("out", "panels"):
            names[canonical] = _fresh(identifier(stem), taken)
    names["kernel"] = _fresh(identifier(step.node), taken)
    return WORD.sub(lambda word: names.get(word[0], word[0]), text)


def factor(size: Dim) -> str:
    """A size as it stands in a product: 64, N, (2*N + 1)."""
    text = str(size)
    return text if text.isdecimal() or text.isidentifier() else f"({text})"


def signature(text: str, sizes: Sequence[str], axes: Sequence[str]) -> str:
    """The text with axes as parameters in place of sizes, which are shown as numbers and as what follows from axes."""
    if not sizes:
        return text
    shown = [*axes, *(size for size in sizes if not WORD.fullmatch(size))]
    parameters = "".join(f", {one}" for one in shown)
    return re.sub(rf"(def kernel\(.*?), {', '.join(sizes)}\b", rf"\1{parameters}", text, count=1)


def line_above(step: Step) -> str:
    """The comment above a kernel: the graph's line of what it computes, and the user's line."""
    name, graph = step.node, step.graph
    if isinstance(step.kernel.schedule, Sort):
        return f"# {name}: where {step.buffers[0]} points to each place"
    if graph is None or name not in graph:
        return f"# {name}: {step.buffers[0]} in the order in which the tiles read it"
    if isinstance(step.kernel.schedule, Check):
        return f"# {name}: every index points into {step.table}"
    return f"# {line(graph, name)}    {graph[name].origin}".rstrip()


def identifier(name: str) -> str:
    """A graph's name as a Python name: hidden/einsum is hidden_einsum."""
    word = re.sub(r"\W+", "_", name).strip("_")
    return word if word and not word[0].isdigit() else f"v_{word}"


def _fresh(word: str, taken: set[str]) -> str:
    number, found = 1, word
    while found in taken:
        number += 1
        found = f"{word}_{number}"
    taken.add(found)
    return found
