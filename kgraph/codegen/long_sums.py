"""Long sums in small products, such as the gradient of a narrow layer's weights for a large batch.

The product has too few tiles for the threads, so the summed axis is cut into parts, each of which makes a product of
its own; a second kernel adds these up. Parts have a fixed length: any number of threads gives the same bits.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from kgraph.codegen.contraction import Contraction, Tile, contracting, contraction_of
from kgraph.codegen.kernel import Kernel, Parameter, Product
from kgraph.codegen.reduction import reducing
from kgraph.codegen.task import Task
from kgraph.ir import Graph, Node
from kgraph.sizes import Dim, axis, minimum, product, rename_axes
from kgraph.types import TensorType

PART = 1024  # elements of the summed axis
SMALL = 1 << 13  # elements of a product that has too few tiles for the threads
_PARTS = "P"  # the letter of the axis over the parts


@dataclass(frozen=True)
class Parts:
    """The kernels of a contraction in parts. Which of them have anything to do depends on the sizes of a call."""

    whole: Kernel | None  # in one go, for sums shorter than two parts; None where they never are
    products: Kernel
    total: Kernel
    total_sizes: tuple[Dim, ...]  # what it is given, in the graph's sizes
    elements: Dim  # of all products, in the graph's sizes


def in_parts(task: Task, found: Contraction, tile: Tile, packed_ahead: Sequence[bool]) -> Parts | None:
    """How to sum in parts; None where it cannot pay, and for contractions in which something follows the sum."""
    node, schedule = contraction_of(task), found.kernel.schedule
    assert isinstance(schedule, Product)
    elements, summed = task.known(node.tensor.size), _summed(task, node)
    if node is not task.root or schedule.run != len(schedule.inner) or not isinstance(elements, int):
        return None
    if elements > SMALL or (isinstance(task.known(summed), int) and task.known(summed) <= PART):
        return None
    count = (summed + (PART - 1)) // PART
    products = contracting(_with_parts(task, node, count), tile, packed_ahead).kernel
    assert isinstance(products.schedule, Product)
    products = replace(products, schedule=replace(products.schedule, part=PART))
    adding, known = _adding(node, task.known(count), elements), task.known(count)
    several = _several(rename_axes(count, task.names))
    whole = None if isinstance(known, int) else _only(found.kernel, 1 - several)
    total = _only(reducing(adding), _several(rename_axes(axis("parts"), adding.names)))
    return Parts(whole, _only(products, several), total, adding.sizes, known * elements)


def _several(count: Dim) -> Dim:
    """1 where there are several, 0 where there is one or none."""
    return minimum(count, 2) - minimum(count, 1)


def _only(kernel: Kernel, wanted: Dim) -> Kernel:
    """The kernel with nothing to do where `wanted` is 0 instead of 1."""
    return replace(kernel, extent=kernel.extent * wanted)


def _summed(task: Task, node: Node) -> Dim:
    """How many products each element is the sum of."""
    terms, result = node.attrs["spec"].split("->")
    operands = zip(terms.split(","), task.body.arguments(node.name), strict=True)
    sizes = {
        letter: size for term, name in operands for letter, size in zip(term, task.body[name].tensor.shape, strict=True)
    }
    return product(size for letter, size in sizes.items() if letter not in result)


def _with_parts(task: Task, node: Node, count: Dim) -> Task:
    """The task with one product for each part: a letter that stands in no operand."""
    body = task.body.copy()
    terms, result = node.attrs["spec"].split("->")
    kind = replace(node.tensor, shape=(count, *node.tensor.shape))
    body.set(node.name, type=kind, attrs={**node.attrs, "spec": f"{terms}->{_PARTS}{result}"})
    return replace(task, body=body, root=body[node.name])


def _adding(node: Node, count: Dim, elements: int) -> Task:
    """The task that adds the products up."""
    dtype = node.tensor.dtype
    shape = axis("parts"), axis("elements")
    body = Graph()
    body.add(Node("products", "input", TensorType(shape, dtype)))
    body.outputs = [
        body.add(Node("total", "sum", TensorType(shape[1:], dtype), {"axes": (0,), "keepdims": False}), "products")
    ]
    parameters = [Parameter("in0", dtype), Parameter("out", dtype)]
    return Task(body, body["total"], parameters, ["parts", "elements"], {"parts": count, "elements": elements})
