"""Other ways to do a contraction, for few rows and for sums that are very long or have one term; a call's sizes decide.

Few rows, such as a small batch in a training step, whose weights are new in each call: to pack them would take as long
as to multiply, so they are read where they lie.

Long sums in small products, such as the gradient of a narrow layer's weights for a large batch: the product has too few
tiles for the threads, so the summed axis is cut into parts, each of which makes a product of its own; a second kernel
adds these up. Parts have a fixed length: any number of threads gives the same bits.

One term, such as that gradient for a single sample: the outer product of two vectors, written row after row.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from kgraph.codegen.schedule.contraction import Contraction, Tile, contracting, few_rows, reads_windows
from kgraph.codegen.schedule.elementwise import elementwise
from kgraph.codegen.schedule.kernel import Kernel, Parameter, Product
from kgraph.codegen.schedule.reduction import reducing
from kgraph.codegen.schedule.task import Task
from kgraph.graph.ir import Graph, Node
from kgraph.graph.sizes import Dim, Shape, axis, least, minimum, product, rename_axes
from kgraph.graph.types import TensorType

PART = 1024  # elements of the summed axis
SMALL = 1 << 13  # elements of a product that has too few tiles for the threads
_PARTS = "P"  # the letter of the axis over the parts

GIVEN, OPERANDS, PRODUCTS, SOURCES = "given", "operands", "products", "sources"


@dataclass(frozen=True)
class Variant:
    """A kernel that does the contraction or a part of it. Where it is not the one to use, its extent is 0."""

    kernel: Kernel
    sizes: tuple[Dim, ...]  # what it is given, in the graph's sizes
    reads: str = GIVEN  # as the contraction's own kernel; its two operands; products of the parts; or `sources`
    products: Dim = 0  # the elements it writes, in the graph's sizes, where these are products of parts
    sources: tuple[int, ...] = ()  # inputs of the body


def unless_few(task: Task, found: Contraction, tile: Tile, static: Sequence[bool]) -> tuple[Contraction, list[Variant]]:
    """The contraction without packing and work in calls of few rows, and what does these; all of it where no call has
    such."""
    few = few_rows(task, static) if found.panels else None
    if few is None:
        return found, []
    near = contracting(task, tile, static, packed=False)
    panels = tuple(replace(one, kernel=_only(one.kernel, 1 - few, task)) for one in found.panels)
    found = replace(found, kernel=_only(found.kernel, 1 - few, task), panels=panels)
    return found, [Variant(_only(near.kernel, few, task), task.sizes, SOURCES, sources=near.sources)]


def variants(task: Task, found: Contraction, tile: Tile, static: Sequence[bool]) -> list[Variant]:
    """The kernels of a contraction, in order; only its own where something follows the sum."""
    node, schedule, whole = task.contraction, found.kernel.schedule, found.kernel
    if not isinstance(schedule, Product):
        return [Variant(whole, task.sizes)]
    alone = node is task.root and not task.placed and not reads_windows(task)
    if not alone or schedule.run != len(schedule.inner) or not schedule.inner:
        return [Variant(whole, task.sizes)]
    more: list[Variant] = []
    length, size = _summed(task, node), task.known(node.tensor.size)
    if _may_be_one(task.known(length)) and _is_outer(node):
        one = minimum(length, 1) - _several(length)
        more.append(_outer_product(task, node, task.known(one)))
        whole = _only(whole, 1 - one, task)
    if isinstance(size, int) and size <= SMALL and _may_be_long(task.known(length)):
        parts = (length + (PART - 1)) // PART
        products = contracting(_with_parts(task, node, parts), tile, static).kernel
        assert isinstance(products.schedule, Product)
        products = replace(products, schedule=replace(products.schedule, part=PART, apart=False))
        more.append(Variant(_only(products, _several(parts), task), task.sizes, GIVEN, task.known(parts) * size))
        more.append(_total(node, task.known(parts), size))
        whole = _only(whole, 1 - _several(parts), task)
    always_parts = bool(more) and isinstance(task.known(length), int)
    return more if always_parts else [Variant(whole, task.sizes), *more]


def _several(count: Dim) -> Dim:
    """1 where there are several, 0 where there is one or none."""
    return minimum(count, 2) - minimum(count, 1)


def _only(kernel: Kernel, wanted: Dim, task: Task) -> Kernel:
    """The kernel with nothing to do where `wanted`, a size of the task, is 0 instead of 1."""
    return replace(kernel, extent=kernel.extent * rename_axes(wanted, task.names))


def _summed(task: Task, node: Node) -> Dim:
    """How many products each element is the sum of."""
    terms, result = node.attrs["spec"].split("->")
    sizes: dict[str, Dim] = {}
    for term, name in zip(terms.split(","), task.body.arguments(node.name), strict=True):
        sizes.update(zip(term, task.body[name].tensor.shape, strict=True))
    return product(size for letter, size in sizes.items() if letter not in result)


def _may_be_one(length: Dim) -> bool:
    """Whether a call may bring one term: a batch of one."""
    return not isinstance(length, int) and least(length) == 1


def _may_be_long(length: Dim) -> bool:
    """Whether a call may bring terms for more than one part."""
    return not isinstance(length, int) or length > PART


def _is_outer(node: Node) -> bool:
    """Whether the result is laid out as the operands are, one after the other, when there is nothing to sum."""
    terms, result = node.attrs["spec"].split("->")
    first, second = ("".join(letter for letter in term if letter in result) for term in terms.split(","))
    return result == first + second and "" not in (first, second)


def _outer_product(task: Task, node: Node, wanted: Dim) -> Variant:
    """Every element of one operand times every element of the other."""
    terms, result = node.attrs["spec"].split("->")
    rows = sum(letter in result for letter in terms.split(",")[0])
    fixed = {
        "rows": task.known(product(node.tensor.shape[:rows])),
        "columns": task.known(product(node.tensor.shape[rows:])),
        "wanted": wanted,
    }
    shapes = (axis("rows"), 1), (1, axis("columns"))
    made = _task(Node("outer", "multiply", replace(node.tensor, shape=(axis("rows"), axis("columns")))), shapes, fixed)
    return Variant(_only(elementwise(made), axis("wanted"), made), made.sizes, OPERANDS)


def _with_parts(task: Task, node: Node, count: Dim) -> Task:
    """The task with one product for each part: a letter that stands in no operand."""
    body = task.body.copy()
    terms, result = node.attrs["spec"].split("->")
    kind = replace(node.tensor, shape=(count, *node.tensor.shape))
    body.set(node.name, type=kind, attrs={**node.attrs, "spec": f"{terms}->{_PARTS}{result}"})
    return replace(task, body=body, root=body[node.name])


def _total(node: Node, parts: Dim, elements: int) -> Variant:
    """The sum of the parts' products."""
    fixed = {"parts": parts, "elements": elements, "wanted": _several(parts)}
    shape = axis("parts"), axis("elements")
    total = Node("total", "sum", TensorType(shape[1:], node.tensor.dtype), {"axes": (0,), "keepdims": False})
    made = _task(total, [shape], fixed)
    return Variant(_only(reducing(made), axis("wanted"), made), made.sizes, PRODUCTS)


def _task(root: Node, shapes: Sequence[Shape], fixed: dict[str, Dim]) -> Task:
    """A task of one node, for operands of these shapes, whose sizes are called by these names."""
    body, dtype = Graph(), root.tensor.dtype
    names = [body.add(Node(f"operand{slot}", "input", TensorType(shape, dtype))) for slot, shape in enumerate(shapes)]
    body.outputs = [body.add(root, *names)]
    parameters = [*(Parameter(f"in{slot}", dtype) for slot in range(len(names))), Parameter("out", dtype)]
    return Task(body, body[root.name], parameters, list(fixed), fixed)
