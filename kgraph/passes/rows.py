"""Ops that work on each row, or each sample, by itself: where these lie in the operands, and the op for some rows."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from kgraph.graph.ir import Graph, Node
from kgraph.graph.op import OPS
from kgraph.graph.sizes import Dim, Shape, product
from kgraph.tracing.trace import Symbol, record

ALONG_AXES = ("softmax", "log_softmax")  # composed ops that work along `axes` and leave other axes alone


def in_operands(graph: Graph, node: Node, axis: int) -> list[int | None] | None:
    """Which axis of each operand is this axis of the node, on which nothing else depends; None for an operand that
    does not have it. None for all: the op mixes what lies along the axis, or is not known here."""
    if node.op not in OPS or isinstance(node.type, tuple):
        return None
    shapes = [graph[name].tensor.shape for name in graph.arguments(node.name)]
    own, attrs, kind = node.tensor.shape, node.attrs, OPS[node.op].kind
    if kind == "contract":
        terms, result = attrs["spec"].split("->")
        return [term.index(result[axis]) if result[axis] in term else None for term in terms.split(",")]
    if (kind == "map" and node.op != "size") or node.op == "broadcast_to":
        return [_aligned(own, shape, axis) for shape in shapes]
    if kind == "reduce" and "keepdims" in attrs:
        left = [place for place in range(len(shapes[0])) if attrs["keepdims"] or place not in attrs["axes"]]
        return None if left[axis] in attrs["axes"] else [left[axis]]
    if node.op in ALONG_AXES:
        return None if axis in attrs["axes"] else [axis]
    match node.op:
        case "transpose":
            return [attrs["axes"][axis]]
        case "reshape":
            found = _reshaped(own, shapes[0], axis)
            return None if found is None else [found]
        case "iota":
            return []
        case "random_bits":
            return [None]
    return None


def some_rows(
    node: Node, operands: Sequence[Symbol], axis: int, count: Dim, numbers: tuple[Symbol, Symbol], sample: int | None,
    samples: Sequence[int | None],
) -> Symbol:  # fmt: skip
    """The op of a node for `count` rows along an axis, and for one sample.

    numbers: of the first row, and of the sample. sample: the axis of samples, which the result is to lose; None where
    it has none. samples: the same for each operand, whose symbols have lost it.
    """
    attrs = _of_sample(node, sample, samples)
    if "shape" in node.attrs:
        shape = (*node.tensor.shape[:axis], count, *node.tensor.shape[axis + 1 :])
        attrs["shape"] = shape if sample is None else without(shape, sample)
    if sample is not None and (OPS[node.op].kind == "map" or node.op == "broadcast_to"):
        places = [sample - node.tensor.rank + one.type.rank for one in operands]
        pairs = zip(operands, places, samples, strict=True)
        operands = [_squeezed(x, place) if own is None and place >= 0 else x for x, place, own in pairs]
    if node.op == "random_bits":
        attrs |= {"whole": node.tensor.shape, "row": axis, "sample_axis": sample}
        return record(OPS["random_part"], (*operands, *numbers), attrs)
    made = record(OPS[node.op], operands, attrs)
    if node.op == "iota" and node.attrs["axis"] == axis:
        made = record(OPS["add"], (made, record(OPS["cast"], numbers[:1], {"dtype": made.type.dtype})), {})
    return made


def _of_sample(node: Node, sample: int | None, samples: Sequence[int | None]) -> dict[str, Any]:
    """The attributes of the op without the axis of samples; a shape is not among them."""
    attrs = {key: value for key, value in node.attrs.items() if key != "shape"}
    if sample is None:
        return attrs
    if "spec" in attrs:
        letter = attrs["spec"].split("->")[1][sample]
        attrs["spec"] = attrs["spec"].replace(letter, "")
    own = samples[0] if samples else sample
    for key in ("axes", "axis"):
        if key in attrs and own is not None:
            axes = attrs[key] if key == "axes" else (attrs[key],)
            axes = tuple(one - (one > own) for one in axes if one != own)
            attrs[key] = axes if key == "axes" else axes[0]
    return attrs


def without(shape: Shape, axis: int) -> Shape:
    """A shape without one of its axes."""
    return (*shape[:axis], *shape[axis + 1 :])


def _squeezed(x: Symbol, axis: int) -> Symbol:
    """An operand without an axis of size 1, which was broadcast."""
    return record(OPS["reshape"], (x,), {"shape": without(x.type.shape, axis)})


def _aligned(whole: Shape, shape: Shape, axis: int) -> int | None:
    """The axis of an operand that is broadcast to this one of the whole as it is."""
    place = axis - (len(whole) - len(shape))
    return place if place >= 0 and (shape[place] != 1 or whole[axis] == 1) else None


def _reshaped(whole: Shape, shape: Shape, axis: int) -> int | None:
    """The axis that stays as it is, with as many elements before and behind it."""
    same = (place for place, size in enumerate(shape) if size == whole[axis])
    before = product(whole[:axis])
    return next((place for place in same if product(shape[:place]) == before), None)
