"""From a fused graph to a plan: which kernels run in which order, on which memory, and what lives how long."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from kgraph.codegen.contraction import Contraction, Tile, contraction_of
from kgraph.codegen.kernel import Check, Kernel
from kgraph.codegen.ordered import checking
from kgraph.codegen.schedule import contracts_alone, schedule
from kgraph.codegen.task import Task, body_of, generic, task_of
from kgraph.codegen.variants import GIVEN, OPERANDS, PRODUCTS, Variant, variants
from kgraph.errors import DTypeError
from kgraph.ir import LEAVES, Graph, Node
from kgraph.passes.group import INDICES, points_inside
from kgraph.sizes import Dim, axes_of
from kgraph.types import UNSIGNED, TensorType, numpy_dtype


@dataclass(frozen=True)
class Buffer:
    """Memory for one value. place: input, param, const, result, arena, or prepared (made from weights alone)."""

    name: str
    dtype: str
    elements: Dim
    place: str

    @property
    def bytes(self) -> Dim:
        return self.elements * numpy_dtype(self.dtype).itemsize


@dataclass(frozen=True)
class Step:
    """One kernel call: the buffers and the sizes that it is given."""

    kernel: Kernel
    buffers: tuple[str, ...]
    sizes: tuple[Dim, ...]
    node: str
    table: str = ""  # of a check: what the indices point into


@dataclass
class Plan:
    """Everything but machine code and addresses."""

    graph: Graph
    buffers: dict[str, Buffer] = field(default_factory=dict)
    alias: dict[str, str] = field(default_factory=dict)  # a view -> the buffer it looks at
    steps: list[Step] = field(default_factory=list)
    prepare: list[Step] = field(default_factory=list)  # run again only when a weight has changed

    def buffer(self, name: str) -> Buffer:
        """The memory in which a value lies."""
        return self.buffers[self.root(name)]

    def root(self, name: str) -> str:
        """The name of that memory."""
        while name in self.alias:
            name = self.alias[name]
        return name

    @property
    def checks(self) -> bool:
        """Whether a call may be refused after it has begun."""
        return any(isinstance(step.kernel.schedule, Check) for step in self.steps)

    def lifetimes(self) -> dict[str, tuple[int, int]]:
        """For each buffer in the arena: the first step that writes it, and the last that uses it."""
        spans: dict[str, tuple[int, int]] = {}
        for number, step in enumerate(self.steps):
            for name in step.buffers:
                if self.buffers[name].place == "arena":
                    spans[name] = (spans.get(name, (number, 0))[0], number)
        return spans


def plan(graph: Graph, tile: Tile | None) -> Plan:
    """The plan of a fused graph. tile: how large the target's tiles are, None where it packs none.

    DTypeError: a value is of half precision, in which no kernel computes.
    """
    _check_dtypes(graph)
    graph, copies = with_results_of_their_own(graph)
    made = Plan(graph)
    results = copies | {_viewed(graph, name) for name in graph.results if name not in copies}
    static = _static(graph, results)
    for node in graph:
        if node.op == "reshape" and node.name not in copies:
            made.alias[node.name] = graph.arguments(node.name)[0]
        elif isinstance(node.type, TensorType):
            place = _place(node, results, static)
            made.buffers[node.name] = Buffer(node.name, node.tensor.dtype, node.tensor.size, place)
    for node in graph:
        if node.name not in made.alias and node.op not in LEAVES and node.op != "item":
            _add_steps(made, node, static, tile)
    return made


def _check_dtypes(graph: Graph) -> None:
    for node in graph:
        if isinstance(node.type, TensorType) and node.tensor.dtype in ("float16", "bfloat16"):
            raise DTypeError(f"{node.name} is {node.tensor}: kernels compute in float32 and float64; cast it to one")
        if node.body is not None:
            _check_dtypes(node.body)


def with_results_of_their_own(graph: Graph) -> tuple[Graph, set[str]]:
    """A copy in which every result has memory of its own, never a view of an input; and the nodes that copy for it."""
    graph, taken = graph.copy(), set()
    copies: set[str] = set()
    for position, name in enumerate(graph.results):
        root = _viewed(graph, name)
        if graph[root].op in LEAVES or root in taken:
            kind = graph[name].tensor
            copy = Node(graph.fresh(f"{name}/copy"), "reshape", kind, {"shape": kind.shape}, graph[name].origin)
            name = root = graph.add(copy, name)
            copies.add(name)
        taken.add(root)
        if position < len(graph.outputs):
            graph.outputs[position] = name
        else:
            graph.updates[list(graph.updates)[position - len(graph.outputs)]] = name
    return graph, copies


def _viewed(graph: Graph, name: str) -> str:
    while graph[name].op == "reshape":
        name = graph.arguments(name)[0]
    return name


def stored_by(graph: Graph, node: Node) -> list[str]:
    """The values that a node's kernel stores: its own, or its items in order."""
    if isinstance(node.type, TensorType):
        return [node.name]
    items = {graph[reader].attrs["index"]: reader for reader in graph.readers(node.name)}
    return [items[number] for number in sorted(items)]


def _types(node: Node) -> tuple[TensorType, ...]:
    return node.type if isinstance(node.type, tuple) else (node.type,)


def _static(graph: Graph, results: set[str]) -> set[str]:
    """Values made from weights and constants alone, of a size that is known."""
    static: set[str] = set()
    for node in graph:
        arguments = graph.arguments(node.name)
        inherits = bool(arguments) and all(name in static for name in arguments)
        inherits = inherits and not axes_of(tuple(kind.shape for kind in _types(node)))
        inherits = inherits and not any(_lookups(graph, node))  # indices are checked in each call, and before reading
        if not isinstance(node.type, TensorType):
            inherits = inherits and not results & {*stored_by(graph, node)}
        if node.op in ("param", "const") or inherits:
            static.add(node.name)
    return static


def _place(node: Node, results: set[str], static: set[str]) -> str:
    if node.op in LEAVES:
        return node.op
    if node.name in results:
        return "result"
    return "prepared" if node.name in static else "arena"


def _add_steps(made: Plan, node: Node, static: set[str], tile: Tile | None) -> None:
    graph = made.graph
    task, sources = task_of(graph, node)
    outs = stored_by(graph, node)
    buffers = [made.root(name) for name in sources] + outs
    steps = made.prepare if made.buffers[outs[0]].place == "prepared" else made.steps
    _add_checks(made, node)
    if tile is not None and contracts_alone(task):
        task = generic(task)
    ahead = _packed_ahead(task, sources, static)
    kernel = schedule(task, tile, ahead)
    if isinstance(kernel, Contraction):
        assert tile is not None
        steps += _contracted(made, node, task, kernel, buffers, static, sources, variants(task, kernel, tile, ahead))
    else:
        steps.append(Step(kernel, tuple(buffers), task.sizes, node.name))


def _packed_ahead(task: Task, sources: list[str], static: set[str]) -> tuple[bool, bool]:
    einsum = next((node for node in task.body if node.op == "einsum"), None)
    if einsum is None:
        return False, False
    given = dict(zip(task.body.inputs, sources, strict=True))
    left, *right = (given.get(name, "") in static for name in task.body.arguments(einsum.name))
    return left, bool(right and right[0])


def _contracted(
    made: Plan, node: Node, task: Task, found: Contraction, buffers: list[str], static: set[str], sources: list[str],
    ways: Sequence[Variant],
) -> Iterator[Step]:  # fmt: skip
    """The contraction, after the packing of its right operand if it wants that; others that pack it alike share it.

    Where there are several ways to do it, the sizes of a call decide which of these steps have anything to do.
    """
    given = [buffers[slot] for slot in found.sources]
    if found.pack is not None:
        source, ahead = buffers[found.right], sources[found.right] in static
        wanted = (found.pack, task.sizes, source)
        before = (*made.prepare, *made.steps)
        earlier = next((step for step in before if (step.kernel, step.sizes, step.buffers[0]) == wanted), None)
        name = earlier.buffers[1] if earlier else f"{node.name}:panels"
        if earlier is None:
            dtype = task.body[task.body.inputs[found.right]].tensor.dtype
            made.buffers[name] = Buffer(name, dtype, task.known(found.panels), "prepared" if ahead else "arena")
            step = Step(found.pack, (source, name), task.sizes, name)
            if ahead:
                made.prepare.append(step)
            else:
                yield step
        given.append(name)
    outs = stored_by(made.graph, node)
    operands = [buffers[task.body.inputs.index(name)] for name in task.body.arguments(contraction_of(task).name)]
    products = f"{node.name}:products"
    read = {GIVEN: given, OPERANDS: operands, PRODUCTS: [products]}
    for way in ways:
        if way.products != 0:
            made.buffers[products] = Buffer(products, task.root.tensor.dtype, way.products, "arena")
        written = [products] if way.products != 0 else outs
        yield Step(way.kernel, (*read[way.reads], *written), way.sizes, node.name)


def _add_checks(made: Plan, node: Node) -> None:
    """A step that looks at the indices of a gather or scatter before anything is read or written with them."""
    for reader, table, indices, size in _lookups(made.graph, node):
        kind = made.graph[indices].tensor
        is_weight = table in made.graph and made.graph[table].op == "param"  # a weight is a table, a tensor an array
        kernel, sizes = checking(kind, size, wraps=not is_weight and kind.dtype not in UNSIGNED)
        step = Step(kernel, (made.root(indices),), sizes, reader, table)
        same = (step.kernel, step.buffers, step.sizes)
        if not any((one.kernel, one.buffers, one.sizes) == same for one in made.steps):
            made.steps.append(step)


def _lookups(graph: Graph, node: Node) -> Iterator[tuple[str, str, str, Dim]]:
    """What a node reads or writes at indices that may point outside: the op, its table, the indices, the axis' size."""
    body, sources = body_of(graph, node)
    given = dict(zip(body.inputs, sources, strict=True))
    for reader in body:
        if reader.op not in INDICES:
            continue
        table, indices = (body[body.arguments(reader.name)[slot]] for slot in (0, INDICES[reader.op]))
        if indices.name in given and not points_inside(body, reader.name, graph[given[indices.name]]):
            size = table.tensor.shape[reader.attrs["axis"]]
            yield reader.name, given.get(table.name, table.name), given[indices.name], size
