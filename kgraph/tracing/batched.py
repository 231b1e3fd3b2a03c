"""An op applied to every slice at once: what it is with one more axis in front of some of its operands."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from string import ascii_letters
from typing import Any

from kgraph.graph.ir import Node
from kgraph.graph.op import OPS
from kgraph.graph.sizes import Dim
from kgraph.tracing.trace import Symbol, record


def can_batch(node: Node, sliced: Sequence[bool]) -> bool:
    """Whether the op can be applied to all slices of the operands that are sliced at once."""
    if node.op not in OPS or node.body is not None:
        return False
    kind = OPS[node.op].kind
    if node.op == "convolution":
        return list(sliced) == [True, False]  # the slices are one batch
    return kind in ("map", "contract") or (kind == "reduce" and "keepdims" in node.attrs) or node.op in MOVES


def batch(node: Node, operands: Sequence[Symbol], sliced: Sequence[bool], length: Dim) -> Symbol:
    """The op of a node on `operands`, those that are `sliced` with `length` slices along a new first axis.

    The result has that axis too. At least one operand is sliced.
    """
    row, attrs = OPS[node.op], node.attrs
    rank = node.tensor.rank
    if node.op == "convolution":
        x, kernel = operands
        return _convolved(node, x, kernel, length)
    if row.kind == "contract":
        return record(row, operands, {"spec": _spec(attrs["spec"], sliced)})
    if row.kind == "map":
        return record(
            row, [_ranked(x, rank) if is_cut else x for x, is_cut in zip(operands, sliced, strict=True)], attrs
        )
    if row.kind == "reduce":
        axes = tuple(axis + 1 for axis in attrs["axes"])
        return record(row, operands, {**attrs, "axes": axes})
    whole = [x if is_cut else _repeated(x, length) for x, is_cut in zip(operands, sliced, strict=True)]
    return record(row, _moved(node, whole, rank), MOVES[node.op](attrs, length))


def _convolved(node: Node, x: Symbol, kernel: Symbol, length: Dim) -> Symbol:
    """A convolution of all slices: they are one batch."""
    batch, *rest = x.type.shape[1:]
    flat = record(OPS["reshape"], (x,), {"shape": (length * batch, *rest)})
    made = record(OPS[node.op], (flat, kernel), node.attrs)
    return record(OPS["reshape"], (made,), {"shape": (length, *node.tensor.shape)})


def _spec(spec: str, sliced: Sequence[bool]) -> str:
    inputs, output = spec.split("->")
    letter = next(one for one in reversed(ascii_letters[:26]) if one not in spec)
    terms = [letter + term if is_cut else term for term, is_cut in zip(inputs.split(","), sliced, strict=True)]
    return f"{','.join(terms)}->{letter}{output}"


def _ranked(x: Symbol, rank: int) -> Symbol:
    """Slices of lower rank, with axes of size 1 after the first, so that they broadcast as they did."""
    missing = rank - (x.type.rank - 1)
    if not missing:
        return x
    first, *rest = x.type.shape
    return record(OPS["reshape"], (x,), {"shape": (first, *(1,) * missing, *rest)})


def _repeated(x: Symbol, length: Dim) -> Symbol:
    return record(OPS["broadcast_to"], (x,), {"shape": (length, *x.type.shape)})


def _moved(node: Node, operands: list[Symbol], rank: int) -> list[Symbol]:
    return [_ranked(operands[0], rank)] if node.op == "broadcast_to" else operands


def _shifted(name: str) -> Any:
    return lambda attrs, length: {**attrs, name: tuple(axis + 1 for axis in attrs[name])}


def _extended(**first: Any) -> Any:
    def change(attrs: Mapping[str, Any], length: Dim) -> dict[str, Any]:
        return {
            name: (length if first[name] == "length" else first[name], *value) if name in first else value
            for name, value in attrs.items()
        }

    return change


MOVES: dict[str, Any] = {
    "reshape": _extended(shape="length"),
    "broadcast_to": _extended(shape="length"),
    "transpose": lambda attrs, length: {"axes": (0, *(axis + 1 for axis in attrs["axes"]))},
    "slice": _extended(starts=0, sizes="length", steps=1),
    "flip": _shifted("axes"),
    "concatenate": lambda attrs, length: {"axis": attrs["axis"] + 1},
}
