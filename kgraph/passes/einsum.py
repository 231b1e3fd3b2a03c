"""One spelling for each contraction: two operands, no repeated labels, no axes of size 1, no transposes around it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from string import ascii_letters

from kgraph.graph.ir import Graph, Node
from kgraph.graph.op import OPS
from kgraph.graph.sizes import Dim
from kgraph.ops.contract import einsum, parts_of, sizes_of
from kgraph.ops.move import broadcast_to, diagonal, transpose
from kgraph.ops.tensors import narrowed, roomy
from kgraph.passes.rewrite import row, stand_in, substitute
from kgraph.tracing.trace import Symbol, as_symbol, reference, reshaped

GUESS = 64  # what a size known only at the call counts as, when the order of contractions is chosen
multiply, total = row("multiply"), row("sum")


def canonicalise(graph: Graph) -> Graph:
    """The graph with every einsum in its one spelling.

    - Of more than two operands it becomes a chain of pairs, in opt_einsum's order; of one, a sum, diagonal, transpose.
    - Transposes, broadcasts and reshapes that only move axes of size 1 are absorbed by the spec of the einsum that
      reads them, and transposes by the spec of the einsum that they alone read.
    - A transpose before an elementwise op that only the einsum reads (q / sqrt(d)) is absorbed too.
    - Axes of size 1 are dropped, axes of one operand alone are summed before, repeated labels become diagonals.
    - Without elements to multiply it is zeros, as many as there are.
    - A product without a sum is a multiply, where this takes no transpose; a sum of it that is no matrix product too.
    - The operand with the first label of the result that is not in both comes first; labels are a, b, c in their order.
    """
    graph = graph.copy()
    for node in list(graph):
        if node.op == "einsum":
            for name in graph.arguments(node.name):
                lift(graph, name)
            put(graph, node, canonical(graph, node))
    graph.prune()
    for node in list(graph):
        if node.op == "transpose":
            put(graph, node, absorbed(graph, node))
    return graph.prune()


def put(graph: Graph, node: Node, result: Symbol | None) -> None:
    """Give the node this new expression, unless it is what stands there, or of another type."""
    if result is None or result.type != node.type:
        return
    if result.op == "ref":
        stand_in(graph, node.name, result.stem)
    elif (result.op, dict(result.attrs)) != (node.op, node.attrs) or [
        source.stem if source.op == "ref" else "" for source in result.inputs
    ] != graph.arguments(node.name):
        substitute(graph, node.name, result)


def lift(graph: Graph, name: str) -> None:
    """Make f(transpose(x)) transpose(f(x)), where nothing else reads it, so that its reader absorbs the transpose."""
    node, sources = graph[name], graph.arguments(name)
    if node.op not in OPS or OPS[node.op].kind != "map" or not graph.is_read_once(name):
        return
    wide = [source for source in sources if graph[source].tensor.shape]
    if len(wide) != 1:
        return
    lift(graph, wide[0])
    if graph[wide[0]].op == "transpose":
        below = graph.arguments(wide[0])[0]
        operands = [reference(graph, below if source == wide[0] else source) for source in sources]
        moved = row(node.op)(*operands, **node.attrs)
        substitute(graph, name, transpose(moved, axes=graph[wide[0]].attrs["axes"]))


# views -----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class View:
    """A value as another one with its axes moved: for each axis the axis of `base`, or None where that has none."""

    base: str
    axes: tuple[int | None, ...]
    through: tuple[str, ...] = ()  # the nodes between, the value itself included


def view_of(graph: Graph, name: str, broadcasts: bool) -> View:
    """What the value is a view of, looking through transposes, moved axes of size 1 and, if wanted, broadcasts."""
    view = View(name, tuple(range(graph[name].tensor.rank)))
    while (step := _axes_below(graph, view.base, broadcasts)) is not None:
        axes = tuple(None if axis is None else step[axis] for axis in view.axes)
        view = View(graph.arguments(view.base)[0], axes, (*view.through, view.base))
    return view


def _axes_below(graph: Graph, name: str, broadcasts: bool) -> tuple[int | None, ...] | None:
    """For each axis of a node the axis of its operand; None where the node is no view."""
    node = graph[name]
    if node.op == "transpose":
        return tuple(node.attrs["axes"])
    if node.op not in ("reshape", "broadcast_to") or (node.op == "broadcast_to" and not broadcasts):
        return None
    below, shape = graph[graph.arguments(name)[0]].tensor.shape, node.tensor.shape
    if node.op == "broadcast_to":
        extra = len(shape) - len(below)
        return tuple(
            axis - extra if axis >= extra and below[axis - extra] == size else None for axis, size in enumerate(shape)
        )
    long = [axis for axis, size in enumerate(below) if size != 1]
    if [below[axis] for axis in long] != [size for size in shape if size != 1]:
        return None
    rest = iter(long)
    return tuple(None if size == 1 else next(rest) for size in shape)


# one einsum ------------------------------------------------------------------------------------------------------


@dataclass
class Operand:
    """A value and the label of each of its axes."""

    value: Symbol
    labels: str


def canonical(graph: Graph, node: Node) -> Symbol:
    """The einsum of a node, spelled anew."""
    names = graph.arguments(node.name)
    inputs, output = parts_of(node.attrs["spec"])
    sizes = sizes_of(node.attrs["spec"], [graph[name].tensor.shape for name in names])
    if any(size == 0 for size in sizes.values()):
        return broadcast_to(as_symbol(0, node.tensor.dtype), shape=node.tensor.shape)
    views = _covered([view_of(graph, name, True) for name in names], graph, names, inputs, sizes)
    operands = [_operand(graph, *one) for one in zip(names, views, inputs, strict=True)]
    operands = [_undoubled(operand) for operand in operands]
    wanted = "".join(label for label in output if sizes[label] != 1)
    if len(operands) > 2 or any(_lone_axes(operand, operands, wanted) for operand in operands):
        operands = [Operand(roomy(operand.value), operand.labels) for operand in operands]  # for what is made between
    operands = [_summed(operand, operands, wanted) for operand in operands]
    return narrowed(reshaped(_contracted(operands, wanted, sizes), node.tensor.shape), reference(graph, node.name))


def _covered(views: list[View], graph: Graph, names: list[str], inputs: list[str], sizes: dict[str, Dim]) -> list[View]:
    """The views, without those that lose an axis which no other operand has in full."""
    full: set[str] = set()
    for view, labels in zip(views, inputs, strict=True):
        full.update(label for label, axis in zip(labels, view.axes, strict=True) if axis is not None)
    lost = {label for label, size in sizes.items() if size != 1 and label not in full}
    return [
        view_of(graph, name, False) if lost.intersection(labels) else view
        for view, name, labels in zip(views, names, inputs, strict=True)
    ]


def _operand(graph: Graph, name: str, view: View, labels: str) -> Operand:
    """The base of the view without its axes of size 1; the value itself where that is the same."""
    shape = graph[view.base].tensor.shape
    long = [axis for axis, size in enumerate(shape) if size != 1]
    if list(view.axes) == long:
        squeezed = len(long) < len(shape) and all(graph[one].op == "reshape" for one in view.through)
        if squeezed or len(long) == len(shape):
            return Operand(reference(graph, name if squeezed else view.base), labels)
    below = {axis: label for axis, label in zip(view.axes, labels, strict=True) if axis in long}
    value = reshaped(reference(graph, view.base), tuple(shape[axis] for axis in long))
    return Operand(value, "".join(below[axis] for axis in long))


def _undoubled(operand: Operand) -> Operand:
    """Each label once: of a repeated one, the diagonal."""
    value, labels = operand.value, operand.labels
    while double := next((label for label in labels if labels.count(label) > 1), ""):
        one, other = labels.index(double), labels.rindex(double)
        value = diagonal(value, axis1=one, axis2=other)
        labels = "".join(label for axis, label in enumerate(labels) if axis not in (one, other)) + double
    return Operand(value, labels)


def _lone_axes(operand: Operand, operands: Sequence[Operand], wanted: str) -> tuple[int, ...]:
    """The axes of an operand whose labels neither the result nor another operand has."""
    elsewhere = wanted + "".join(other.labels for other in operands if other is not operand)
    return tuple(axis for axis, label in enumerate(operand.labels) if label not in elsewhere)


def _summed(operand: Operand, operands: Sequence[Operand], wanted: str) -> Operand:
    """The operand summed over these."""
    lone = _lone_axes(operand, operands, wanted)
    if not lone:
        return operand
    labels = "".join(label for axis, label in enumerate(operand.labels) if axis not in lone)
    return Operand(total(operand.value, axes=lone, keepdims=False), labels)


def _contracted(operands: list[Operand], wanted: str, sizes: dict[str, Dim]) -> Symbol:
    for places in _path(operands, wanted, sizes):
        chosen = [operands[place] for place in places]
        operands = [operand for place, operand in enumerate(operands) if place not in places]
        while len(chosen) > 1:
            one, other, *chosen = chosen
            rest = "".join(operand.labels for operand in [*operands, *chosen])
            kept = wanted if not rest else _kept(one.labels, other.labels, wanted + rest)
            chosen.insert(0, Operand(pair(one, other, kept), kept))
        operands.append(chosen[0])
    (last,) = operands
    order = tuple(last.labels.index(label) for label in wanted)
    return last.value if order == tuple(range(len(order))) else transpose(last.value, axes=order)


def _path(operands: Sequence[Operand], wanted: str, sizes: dict[str, Dim]) -> list[tuple[int, ...]]:
    if len(operands) < 3:
        return [(0, 1)] if len(operands) == 2 else []
    guessed = {label: size if isinstance(size, int) else GUESS for label, size in sizes.items()}
    spec = f"{','.join(operand.labels for operand in operands)}->{wanted}"
    shapes = [tuple(guessed[label] for label in operand.labels) for operand in operands]
    import opt_einsum

    return list(opt_einsum.contract_path(spec, *shapes, shapes=True)[0])


def _kept(one: str, other: str, needed: str) -> str:
    """The labels of a result on the way, as a matrix product has them: those of both, of the one, of the other."""
    both = [label for label in one if label in other]
    own, others = ([label for label in labels if label not in both] for labels in (one, other))
    return "".join(label for label in [*both, *own, *others] if label in needed)


def pair(one: Operand, other: Operand, wanted: str) -> Symbol:
    """The contraction of two operands in its one spelling."""
    if all(_in_order(operand.labels, wanted) for operand in (one, other)) and set(one.labels + other.labels) == set(
        wanted
    ):
        return multiply(_stretched(one, wanted), _stretched(other, wanted))
    if one.labels == other.labels and _in_order(wanted, one.labels):
        summed = tuple(axis for axis, label in enumerate(one.labels) if label not in wanted)
        products = multiply(roomy(one.value), roomy(other.value))
        return narrowed(total(products, axes=summed, keepdims=False), one.value)
    leader = next((label for label in wanted if (label in one.labels) != (label in other.labels)), "")
    if leader in other.labels and leader not in one.labels:
        one, other = other, one
    letters = dict(zip(dict.fromkeys(one.labels + other.labels), ascii_letters, strict=False))
    spec = ["".join(letters[label] for label in labels) for labels in (one.labels, other.labels, wanted)]
    return einsum(one.value, other.value, spec=f"{spec[0]},{spec[1]}->{spec[2]}")


def _in_order(some: str, every: str) -> bool:
    """Whether `some` are labels of `every`, in the same order."""
    rest = iter(every)
    return all(label in rest for label in some)


def _stretched(operand: Operand, wanted: str) -> Symbol:
    """The operand with axes of size 1 where it lacks a label; leading ones are left to broadcasting."""
    sizes = dict(zip(operand.labels, operand.value.type.shape, strict=True))
    first = next((place for place, label in enumerate(wanted) if label in sizes), len(wanted))
    return reshaped(operand.value, tuple(sizes.get(label, 1) for label in wanted[first:]))


# a transpose after an einsum -------------------------------------------------------------------------------------


def absorbed(graph: Graph, node: Node) -> Symbol | None:
    """The einsum that a transpose alone reads, with the result's axes in the transposed order."""
    view = view_of(graph, node.name, False)
    between = [*view.through[1:], view.base]
    results = set(graph.results)
    if graph[view.base].op != "einsum" or any(len(graph.readers(one)) > 1 or one in results for one in between):
        return None
    inputs, output = parts_of(graph[view.base].attrs["spec"])
    if len(inputs) != 2 or set(range(len(output))) != {axis for axis in view.axes if axis is not None}:
        return None
    names = graph.arguments(view.base)
    one, other = (Operand(reference(graph, name), labels) for name, labels in zip(names, inputs, strict=True))
    wanted = "".join(output[axis] for axis in view.axes if axis is not None)
    return reshaped(pair(one, other, wanted), node.tensor.shape)
