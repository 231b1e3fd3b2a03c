"""Concatenations that their operands are written to in place: which part of the result each of them is.

In row-major order, a concatenation is rows, and each operand is the same stretch of every row. An operand that nothing
else reads is written there by the kernel that makes it; others are copied.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import dataclass, replace

from kgraph.codegen.schedule.kernel import Parameter
from kgraph.codegen.schedule.task import Placed, Task
from kgraph.graph.ir import LEAVES, Graph, Node
from kgraph.graph.op import OPS
from kgraph.graph.sizes import Dim, Shape, axis, product
from kgraph.graph.types import TensorType
from kgraph.ops.move import offsets


@dataclass(frozen=True)
class Part:
    """One operand of a concatenation: how many rows there are, how long each is, and which stretch of it is its own."""

    name: str
    reader: str  # the concatenation
    whole: str  # in whose memory it lies: the same, or another concatenation around it
    rows: Dim
    pitch: Dim
    offset: Dim
    run: Dim


def parts_of(graph: Graph, node: Node) -> Iterator[Part]:
    """The operands of a concatenation."""
    along, whole = node.attrs["axis"], node.tensor.shape
    inside = product(whole[along + 1 :])
    names = graph.arguments(node.name)
    starts = offsets([graph[name].tensor for name in names], along)
    for name, start in zip(names, starts, strict=True):
        run = graph[name].tensor.shape[along] * inside
        yield Part(name, node.name, node.name, product(whole[:along]), whole[along] * inside, start * inside, run)


def within(part: Part, graph: Graph) -> Iterator[Part]:
    """The parts of a part that is itself a concatenation along the same axis."""
    for one in parts_of(graph, graph[part.name]):
        yield replace(one, whole=part.whole, pitch=part.pitch, offset=one.offset + part.offset)


def writers(graph: Graph, part: Part, kept: Collection[str]) -> tuple[list[str], int]:
    """The values that are one with a part: its views, and last the one that a kernel may write in place; none if it
    has to be copied. Also returns how many axes of the last run over the rows.

    kept: values that need memory of their own.
    """
    chain: list[str] = []
    name, reader = part.name, part.reader
    while True:
        node = graph[name]
        alone = graph.readers(name) == [reader] and graph.arguments(reader).count(name) == 1
        if not alone or name in kept or node.op in LEAVES or not isinstance(node.type, TensorType):
            return [], 0
        chain.append(name)
        if node.op != "reshape":
            break
        reader, name = name, graph.arguments(name)[0]
    kernel = graph[graph.arguments(name)[0]] if node.op == "item" else node
    kinds = {OPS[one.op].kind for one in (kernel, *(kernel.body or ())) if one.op in OPS}
    if kinds & {"scatter", "loop"} or (node.op == "concatenate" and not _continues(graph, part)):
        return [], 0
    leading = _leading(node.tensor.shape, part.rows)
    return (chain, leading) if leading is not None else ([], 0)


def _continues(graph: Graph, part: Part) -> bool:
    """Whether an operand is a concatenation along the axis of the one around it."""
    inner, outer = graph[part.name], graph[part.reader]
    return inner.op == outer.op and inner.attrs["axis"] == outer.attrs["axis"]


def _leading(shape: Shape, rows: Dim) -> int | None:
    """How many leading axes have as many elements as there are rows."""
    return next((count for count in range(len(shape) + 1) if product(shape[:count]) == rows), None)


def placed(task: Task, part: Part, leading: int, number: int = 0) -> Task:
    """The task with a result in a part. Where that lies is given at the call: equal operands share a kernel."""
    pitch, offset = f"pitch_of_part{number or ''}", f"offset_of_part{number or ''}"
    place = Placed(leading, axis(pitch), axis(offset))
    fixed = {**task.fixed, pitch: part.pitch, offset: part.offset}
    where = {**task.placed, task.outs[number].name: place}
    return replace(task, axes=[*task.axes, pitch, offset], fixed=fixed, placed=where)


def copying(kind: TensorType, part: Part) -> Task:
    """The task that copies an operand to its part. It serves operands of any size."""
    fixed: dict[str, Dim] = {"rows_of_part": part.rows, "run_of_part": part.run}
    if part.rows == 1:
        del fixed["rows_of_part"]
    body, moved = Graph(), TensorType(tuple(map(axis, fixed)), kind.dtype)
    given = body.add(Node(part.name, "input", moved))
    name = body.add(Node(part.whole, "reshape", moved, {"shape": moved.shape}), given)
    body.outputs = [name]
    parameters = [Parameter("in0", kind.dtype), Parameter("out", kind.dtype)]
    return placed(Task(body, body[name], parameters, list(fixed), fixed), part, len(fixed) - 1)
