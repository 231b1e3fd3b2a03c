"""A product of rows that are reduced products themselves, such as softmax(q @ k) @ v, becomes one kernel.

The rows stay in the cache of the core that makes them, so attention over T steps writes nothing of the size T x T. So
do rows of one product that are reduced, and are wider than those for which `fuse` does the same.
Runs after `fuse`, for targets whose kernels can do it.
"""

from __future__ import annotations

from math import prod

from kgraph.graph.ir import Graph, Node
from kgraph.graph.op import OPS
from kgraph.graph.types import FLOATS, numpy_dtype
from kgraph.passes.group import MOST_INPUTS

MANY = 512  # rows, so that each thread has some
WIDEST = 1 << 15  # bytes of a row that is kept on the stack of a thread, where a tile's rows are twice


def chain(graph: Graph) -> Graph:
    """The graph with each product of reduced rows in one node with what makes the rows."""
    found = {node.name: parts for node in graph if (parts := chained(graph, node))}
    inside = {node.name for parts in found.values() for node in parts}
    apart = [node for node in graph if node.name not in inside and node.name not in found]
    found |= {node.name: parts for node in apart if (parts := wide_rows(graph, node))}
    if not found:
        return graph
    made, inside = Graph(), {node.name for parts in found.values() for node in parts}
    made.updates, made.assumed = dict(graph.updates), list(graph.assumed)
    for node in graph:
        if node.name in found:
            body, sources = joined(graph, [*found[node.name], node])
            made.add(Node(node.name, "fused", node.type, {"body": body}, node.origin), *sources)
        elif node.name not in inside:
            made.add(node, *graph.arguments(node.name))
    made.inputs, made.outputs = list(graph.inputs), list(graph.outputs)
    return made


def chained(graph: Graph, node: Node) -> list[Node]:
    """The kernels that make rows for the product in this one and for nothing else; none if it is no such product."""
    product = product_in(node)
    if product is None:
        return []
    inside = node.body or graph  # a fused node calls what it is given as the graph does
    operands = inside.arguments(product.name)
    for slot, name in enumerate(operands):
        if operands.count(name) > 1 or inside.readers(name) != [product.name] or not is_private(graph, name, node):
            continue
        parts = rows_in(graph, graph[name])
        if parts and sums_rows(product, slot, body_of(graph, parts[0])):
            inputs = {source for part in [*parts, node] for source in graph.arguments(part.name)}
            return parts if len(inputs) <= MOST_INPUTS else []
    return []


def wide_rows(graph: Graph, node: Node) -> list[Node]:
    """The product of which this node alone reduces the rows, where these are wide for `fuse`, but many.

    A thread makes whole rows then; of few rows it is better that threads share the columns.
    """
    found = rows_in(graph, node)
    product = product_in(found[0]) if len(found) == 2 else None
    width = node.tensor.shape[-1] if product is not None else 0
    if product is None or not isinstance(width, int) or width * bytes_of(node.tensor.dtype) > WIDEST:
        return []
    if prod(size for size in node.tensor.shape[:-1] if isinstance(size, int)) < MANY:
        return []
    terms, result = product.attrs["spec"].split("->")
    first, second = sorted(terms.split(","), key=lambda term: result[-1] in term)
    alone = result[-1] not in first and [one for one in result if one in second and one not in first] == [result[-1]]
    inputs = {source for part in (found[0], node) for source in graph.arguments(part.name)}
    return found[:1] if alone and len(inputs) <= MOST_INPUTS else []


def is_private(graph: Graph, name: str, reader: Node) -> bool:
    """Whether a value is computed in the graph, and one node alone reads it."""
    return name in graph and graph.readers(name) == [reader.name] and name not in graph.results


def product_in(node: Node) -> Node | None:
    """The product of two operands of floats in a kernel that does nothing else but elementwise ops."""
    nodes = [one for one in (node.body or [node]) if one.op in OPS]
    products = [one for one in nodes if one.op == "einsum"]
    if len(products) != 1 or any(OPS[one.op].kind != "map" for one in nodes if one.op != "einsum"):
        return None
    two = products[0].attrs["spec"].count(",") == 1
    return products[0] if two and products[0].tensor.dtype in FLOATS else None


def rows_in(graph: Graph, rows: Node) -> list[Node]:
    """The kernels that make reduced rows of a product: one, or the product's and one that reduces; or none."""
    body, shape = rows.body, rows.tensor.shape if not isinstance(rows.type, tuple) else ()
    if body is None or len(shape) < 2 or shape[-1] in (0, 1):
        return []
    kinds = [OPS[one.op].kind for one in body if one.op in OPS]
    if "reduce" not in kinds or len(body.outputs) != 1 or any(one.op == "windows" for one in body):
        return []
    if "contract" in kinds:
        products = [one for one in body if one.op == "einsum"]
        return [rows] if len(products) == 1 and is_frame(body, products[0], shape) else []
    for name in graph.arguments(rows.name):
        if is_private(graph, name, rows) and product_in(graph[name]) is not None and is_frame(body, body[name], shape):
            return [graph[name], rows]
    return []


def bytes_of(dtype: str) -> int:
    """The bytes of an element as kernels compute it: half precision is widened."""
    return max(4, numpy_dtype(dtype).itemsize)


def is_frame(body: Graph, product: Node, shape: object) -> bool:
    """Whether all that comes of a product is elementwise, or a reduction along its rows which keeps the axis."""
    whole = product.tensor.shape
    kept = (*whole[:-1], 1)
    if whole != shape:
        return False
    waiting, seen = body.readers(product.name), set[str]()
    while waiting:
        node = body[waiting.pop()]
        if node.name in seen:
            continue
        seen.add(node.name)
        op = OPS[node.op]
        reduces = op.kind == "reduce" and node.attrs["axes"] == (len(whole) - 1,) and op.combine is not None
        if not (reduces or op.kind == "map") or node.tensor.shape not in (whole, kept):
            return False
        waiting += body.readers(node.name)
    return True


def sums_rows(product: Node, slot: int, rows: Graph) -> bool:
    """Whether the operand's last axis, and nothing else, is summed, and its other axes and one of columns are left.

    The other operand may share batches with the rows, and depend on nothing else of them.
    """
    terms, result = product.attrs["spec"].split("->")
    own, other = terms.split(",")[slot], terms.split(",")[1 - slot]
    columns = [letter for letter in other if letter not in own]
    if own[-1] in result or own[-1] not in other or len(columns) != 1:
        return False
    if any(letter not in result for letter in (*own[:-1], *columns)):
        return False
    first = next(one for one in rows if one.op == "einsum").attrs["spec"]
    operands, made = first.split("->")[0].split(","), first.split("->")[1]
    batches = [mine for mine, letter in zip(own, made, strict=True) if all(letter in term for term in operands)]
    last = [letter in term for letter in made[-1] for term in operands]
    return sum(last) == 1 and all(letter in batches for letter in other if letter in own[:-1])


def joined(graph: Graph, parts: list[Node]) -> tuple[Graph, list[str]]:
    """One body for these kernels, each of which reads the one before, with what it reads."""
    body, sources = Graph(), []
    between = {part.name for part in parts[:-1]}
    for part in parts:
        inside = body_of(graph, part)
        for one in inside:
            if one.name not in body and (one.op != "input" or one.name not in between):
                body.add(one, *inside.arguments(one.name))
                sources += [one.name] if one.op == "input" else []
    body.outputs = [parts[-1].name]
    return body, sources


def body_of(graph: Graph, node: Node) -> Graph:
    """What a kernel does; one that is not fused has a body of one op."""
    if node.body is not None:
        return node.body
    body = Graph()
    for name in dict.fromkeys(graph.arguments(node.name)):
        body.add(Node(name, "input", graph[name].type))
    body.outputs = [body.add(node, *graph.arguments(node.name))]
    return body
