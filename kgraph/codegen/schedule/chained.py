"""Two products in one kernel, the second of rows that the first one makes and reduces: softmax(q @ k) @ v."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from kgraph.codegen.schedule.apart import APART
from kgraph.codegen.schedule.contraction import (
    UNIT,
    Contraction,
    Letters,
    Panels,
    Tile,
    letters_of,
    mirrored,
    one_run,
    panels_for,
    product_of,
    readable_in_place,
    sides,
    sources_read,
    vectors_for,
    with_apart,
)
from kgraph.codegen.schedule.kernel import Chain, Parameter, Product
from kgraph.codegen.schedule.task import Placed, Task, estimate
from kgraph.graph.ir import Graph, Node
from kgraph.graph.loop import ancestors
from kgraph.graph.op import OPS
from kgraph.graph.sizes import Dim, rename_axes

KEPT = "kept"  # what a finished row of the first product is called


def chaining(task: Task, tile: Tile, static: Sequence[bool]) -> Contraction:
    """The kernels of a body with two einsums, the second of which reads rows made of the first."""
    rows, product = halves(task)
    flags = dict(zip(task.body.inputs, static, strict=True))
    first, letters, left, right = sides(rows, [flags[name] for name in rows.body.inputs])
    second, slot = product.contraction, _slot_of(rows.root, product)
    pitch = letters.extent(letters.column) + APART
    letters, onward = _shared(letters, first, product, second, slot, pitch)
    other = product.body.inputs.index(product.body.arguments(second.name)[1 - slot])
    height = tile(first.tensor.dtype, 2)[0]
    several = not isinstance(letters.extent(letters.row), int) or letters.extent(letters.row) > height
    schedules, panels, sources, stems = list[Product](), list[Panels](), set[int](), dict[str, str]()
    for part, node, roles, name, operand in (
        (rows, first, letters, rows.inputs[left], right),
        (product, second, onward, KEPT, other),
    ):
        source = task.body.inputs.index(part.body.inputs[operand])
        vectors = vectors_for(part, node, roles, tile)
        packed = static[source] or several or not readable_in_place(part, roles)
        names = name, f"panels{len(schedules) or ''}" if packed else part.inputs[operand]
        schedule, stems = product_of(part, node, roles, names, vectors, packed, stems)
        schedules.append(with_apart(part, schedule, roles, height) if part is rows else schedule)
        dtype, columns = node.tensor.dtype, tile(node.tensor.dtype, vectors)[1]
        panels += [panels_for(part, roles, dtype, vectors, columns, source)] if packed else []
        operands = [*([left] if part is rows else []), *([] if packed else [operand])]
        read = (part.body.inputs[place] for place in sources_read(part, node, operands))
        sources |= {task.body.inputs.index(name) for name in read if name != rows.root.name}
    extent = letters.extent(letters.batch) * ((letters.extent(letters.row) + (height - 1)) // height)
    depth = letters.extent(letters.inner) + onward.extent(onward.column)
    work = height * estimate(task.known(letters.extent(letters.column))) * estimate(task.known(depth))
    kernel = task.kernel(Chain(schedules[0], schedules[1], rename_axes(pitch, task.names)), extent, UNIT // work, stems)
    given = [task.parameters[place] for place in sorted(sources)]
    given += [Parameter(one.right, one.dtype) for one in schedules if one.packed]
    return Contraction(replace(kernel, parameters=(*given, *task.outs)), tuple(panels), tuple(sorted(sources)))


def is_chain(task: Task) -> bool:
    """Whether a body is one product of the rows of another."""
    return sum(node.op == "einsum" for node in task.body) == 2 and any(OPS[n.op].kind == "reduce" for n in _ops(task))


def halves(task: Task) -> tuple[Task, Task]:
    """The rows, and the product of them, as tasks of their own: rows are left in `kept`, which the product reads."""
    body = task.body
    first, second = (node for node in body if node.op == "einsum")
    between = next(name for name in body.arguments(second.name) if first.name in ancestors(body, [name]))
    given = dict(zip(body.inputs, task.parameters, strict=False))
    kept = Parameter(KEPT, body[between].tensor.dtype)
    rows = _part(body, ancestors(body, [between]), between)
    leading = body[between].tensor.rank - 1
    placed = {KEPT: Placed(leading, 0, 0)}
    made = Task(rows, rows[between], [*(given[name] for name in rows.inputs), kept], task.axes, task.fixed, placed)
    below = _part(body, _below(body, task.root.name, between), task.root.name, between)
    inputs = [kept if name == between else given[name] for name in below.inputs]
    return made, Task(below, below[task.root.name], [*inputs, *task.outs], task.axes, task.fixed, task.placed)


def _ops(task: Task) -> list[Node]:
    return [node for node in task.body if node.op in OPS]


def _below(body: Graph, name: str, stop: str) -> set[str]:
    """A value and what it is made from; of `stop` only itself."""
    found, waiting = {name}, [name]
    while waiting:
        one = waiting.pop()
        more = [] if one == stop else [source for source in body.arguments(one) if source not in found]
        found.update(more)
        waiting += more
    return found


def _part(body: Graph, names: set[str], output: str, given: str = "") -> Graph:
    """These nodes of a body by themselves, one of them as an input."""
    part = Graph()
    for node in body:
        if node.name == given:
            part.add(Node(given, "input", node.type))
        elif node.name in names:
            part.add(node, *body.arguments(node.name))
    part.outputs = [output]
    return part


def _slot_of(rows: Node, product: Task) -> int:
    return product.body.arguments(product.contraction.name).index(rows.name)


def _shared(
    letters: Letters, first: Node, product: Task, second: Node, slot: int, pitch: Dim
) -> tuple[Letters, Letters]:
    """The roles of both einsums' letters, the second's with the batches and rows of the first, whose rows it reads from
    memory of their own."""
    spec, body = second.attrs["spec"], product.body
    shapes = [*(body[name].tensor.shape for name in body.arguments(second.name)), second.tensor.shape]
    found = letters_of(spec, shapes)
    found = mirrored(found) if slot else found
    term = spec.split("->")[0].split(",")[slot]
    called = dict(zip(first.attrs["spec"].split("->")[1], term, strict=True))
    row, more = one_run(letters.row, letters.size, {one: found.out[called[one]] for one in letters.row})
    letters = replace(letters, batch=letters.batch + more, row=row)
    batch, row = ("".join(called[one] for one in run) for run in (letters.batch, letters.row))
    kept: dict[str, Dim] = {**dict.fromkeys(batch, 0), **dict.fromkeys(row, pitch), term[-1]: 1}
    columns = "".join(one for one in found.column if one not in term)
    return letters, replace(found, batch=batch, row=row, column=columns, inner=term[-1], left=kept)
