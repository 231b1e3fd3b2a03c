"""What follows a product and can be done to its sums in registers: a bias for each column, and relu after it."""

from __future__ import annotations

from kgraph.codegen.schedule.kernel import Ending
from kgraph.codegen.schedule.task import Task
from kgraph.graph.ir import Node


def ending_of(task: Task, product: Node, columns: str) -> Ending | None:
    """How a body goes on after its product, if it ends so; else None. columns: the letters that columns run along."""
    body, name, bias, is_relu = task.body, product.name, "", False
    if not columns or len(task.roots) > 1 or task.placed or not product.attrs["spec"].endswith(columns):
        return None
    while name != task.root.name:
        readers = body.readers(name)
        if len(readers) != 1 or is_relu:
            return None
        after = body[readers[0]]
        others = [one for one in body.arguments(after.name) if one != name]
        if after.op == "add" and not bias and len(others) == 1 and _is_row(task, others[0], product, len(columns)):
            bias = task.inputs[body.inputs.index(others[0])]
        elif after.op == "relu":
            is_relu = True
        else:
            return None
        name = after.name
    return Ending(bias, is_relu)


def _is_row(task: Task, name: str, product: Node, columns: int) -> bool:
    """Whether an input of a body has one element for each column, in their order."""
    if name not in task.body.inputs:
        return False
    shape, whole = task.body[name].tensor.shape, product.tensor.shape
    return shape[-columns:] == whole[-columns:] and all(size == 1 for size in shape[:-columns])
