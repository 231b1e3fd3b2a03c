"""Graphs as text and as Graphviz dot."""

from __future__ import annotations

from typing import Any, TypeAlias

import numpy as np

from kgraph.graph.types import is_floating

Graph: TypeAlias = Any  # of kgraph.ir, which prints itself by this module
Node: TypeAlias = Any

HIDDEN = frozenset(("body", "other", "variable", "value", "layer"))
WIDEST = 120  # columns for what is right of the equals sign, before the types
BODIES = {"loop": {"body": "each step"}, "cond": {"body": "if so", "other": "if not"}}
INFIX = {
    "add": "+", "subtract": "-", "multiply": "*", "divide": "/", "power": "**",
    "greater": ">", "greater_equal": ">=", "less": "<", "less_equal": "<=", "equal": "==", "not_equal": "!=",
}  # fmt: skip


def text(graph: Graph) -> str:
    """One line a node, in dataflow order: `name = op(arguments, attributes) : type`. What loops do follows them."""
    shown = [node for node in graph if not _is_number(node) and not _is_item_of_kernel(graph, node)]
    rows = [(node, _right_side(graph, node), types(node.type)) for node in shown]
    long = max((len(node.name) for node, _, _ in rows), default=0)
    wide = min(max((len(right) for _, right, _ in rows), default=0), WIDEST)
    lines = []
    for node, right, kind in rows:
        lines.append(f"  {node.name:<{long}} = {right:<{wide}}  : {kind}")
        for key in BODIES.get(node.op, ()):
            inside = text(node.attrs[key]).replace("\n", "\n    ")
            lines.append(f"    {BODIES[node.op][key]} ({', '.join(node.attrs[key].inputs)}):\n    {inside}")
    lines.append(f"  return {', '.join(_operand(graph, name) for name in graph.outputs)}")
    lines += [f"  update {param} = {name}" for param, name in graph.updates.items()]
    return "\n".join(lines)


def line(graph: Graph, name: str) -> str:
    """The line of one node, without padding."""
    node = graph[name]
    return f"{name}: {types(node.type)} = {_right_side(graph, node)}"


def types(kind: Any) -> str:
    """The type of a node; several results in parentheses."""
    return f"({', '.join(map(str, kind))})" if isinstance(kind, tuple) else str(kind)


def dot(graph: Graph) -> str:
    """The graph in Graphviz's language; weights as boxes with round corners."""
    lines = ["digraph kgraph {", '  node [shape=box, fontname="monospace", fontsize=10];']
    for node in graph:
        shape = ", style=rounded" if node.op in ("param", "const") else ", style=bold" if node.op == "input" else ""
        label = f"{node.name}\\n{node.op}\\n{types(node.type)}".replace('"', "'")
        lines.append(f'  "{node.name}" [label="{label}"{shape}];')
    lines += [f'  "{source}" -> "{reader}" [label="{slot}"];' for source, reader, slot in graph.edges(keys=True)]
    return "\n".join([*lines, "}"])


def value_text(value: Any) -> str:
    """A constant or attribute as a reader wants it: numbers in full, arrays by type and first elements."""
    if isinstance(value, (np.ndarray, np.generic)):
        if value.ndim == 0:
            return f"{value.item():g}" if is_floating(value.dtype) else str(value.item())
        head = ", ".join(f"{x:g}" for x in value.reshape(-1)[:3].tolist())
        return f"[{head}{', ...' if value.size > 3 else ''}]"
    return repr(value)


def _is_number(node: Node) -> bool:
    return node.op == "const" and np.ndim(node.attrs["value"]) == 0


def _is_item_of_kernel(graph: Graph, node: Node) -> bool:
    """Whether a node is one of several results of a fused node, which is called by the names of all of them."""
    return node.op == "item" and graph[graph.arguments(node.name)[0]].op == "fused"


def _operand(graph: Graph, name: str) -> str:
    node = graph[name]
    return value_text(node.attrs["value"]) if _is_number(node) else name


def _right_side(graph: Graph, node: Node) -> str:
    arguments = [_operand(graph, name) for name in graph.arguments(node.name)]
    if node.op == "fused":
        return _expression(node, arguments)
    if node.op == "const":
        return f"const({value_text(node.attrs['value'])})"
    return _call(node, arguments)


def _call(node: Node, arguments: list[str]) -> str:
    shown = [f"{key}={value_text(value)}" for key, value in sorted(node.attrs.items()) if key not in HIDDEN]
    return f"{node.op}({', '.join([*arguments, *shown])})"


def _expression(fused: Node, arguments: list[str]) -> str:
    """The inside of a fused node as one expression; a value read more than once gets a name after `where`."""
    body = fused.body
    assert body is not None
    said = dict(zip(body.inputs, arguments, strict=True))
    shared: list[str] = []
    for node in body:
        if node.op == "input":
            continue
        inside = _inside(node, [said[name] for name in body.arguments(node.name)])
        readers = body.nx.out_degree(node.name) + (node.name in body.outputs and len(body.outputs) > 1)
        if readers > 1 and node.op != "const":
            name = f"t{len(shared)}"
            shared.append(f"{name} = {_bare(inside)}")
            inside = name
        said[node.name] = inside
    main = ", ".join(_bare(said[name]) for name in body.outputs)
    return f"{main} where {', '.join(shared)}" if shared else main


def _inside(node: Node, arguments: list[str]) -> str:
    if node.op == "const":
        return value_text(node.attrs["value"])
    if node.op in INFIX:
        return f"({arguments[0]} {INFIX[node.op]} {arguments[1]})"
    return _call(node, list(map(_bare, arguments)))


def _bare(expression: str) -> str:
    """Without the parentheses around the whole, if there are any."""
    if not (expression.startswith("(") and expression.endswith(")")):
        return expression
    depth = 0
    for position, letter in enumerate(expression):
        depth += (letter == "(") - (letter == ")")
        if depth == 0 and position < len(expression) - 1:
            return expression
    return expression[1:-1]
