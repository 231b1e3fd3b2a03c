"""The row `einsum`: sums of products over named axes. Dense, attention, matmul and tensordot are written with it."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from itertools import chain
from typing import Any

import numpy as np

from kgraph.errors import ShapeError
from kgraph.graph.op import Op
from kgraph.graph.sizes import Dim, Shape, unify
from kgraph.graph.types import TensorType
from kgraph.ops.arithmetic import where
from kgraph.ops.compare import equal
from kgraph.ops.elementwise import no_bools
from kgraph.ops.move import broadcast_to, iota, reshape, shape_of
from kgraph.tracing.trace import Symbol, primitive


def parts_of(spec: str) -> tuple[list[str], str]:
    """The labels of each operand, and of the result: "ab,bc->ac" is ["ab", "bc"], "ac"."""
    inputs, output = spec.split("->")
    return inputs.split(","), output


def sizes_of(spec: str, shapes: Sequence[Shape], names: Sequence[str] = ()) -> dict[str, Dim]:
    """The size of each label; an axis of size 1 stretches. ShapeError names the axis, both sizes and both operands."""
    inputs, output = parts_of(spec)
    names = names or [f"operand {number}" for number in range(len(inputs))]
    if len(inputs) != len(shapes):
        raise ShapeError(f"einsum {spec!r} takes {len(inputs)} operands, and got {len(shapes)}")
    sizes: dict[str, Dim] = {}
    owner: dict[str, str] = {}
    for labels, shape, name in zip(inputs, shapes, names, strict=True):
        if len(labels) != len(shape):
            raise ShapeError(f"einsum {spec!r}: {labels!r} names {len(labels)} axes, {name} has {len(shape)}")
        own = dict(zip(labels, shape, strict=True))
        for label, size in zip(labels, shape, strict=True):
            if own[label] != size and 1 in (own[label], size):
                raise ShapeError(f"einsum {spec!r}: axis {label!r} is {own[label]} and {size} in {name}")
            if sizes.get(label, 1) == 1:
                sizes[label], owner[label] = size, name
            elif size != 1:
                try:
                    sizes[label] = unify(sizes[label], size)
                except ShapeError:
                    both = f"{sizes[label]} in {owner[label]} and {size} in {name}"
                    raise ShapeError(f"einsum {spec!r}: axis {label!r} is {both}") from None
    missing = [label for label in output if label not in sizes]
    if missing or len(set(output)) != len(output):
        wrong = f"{missing[0]!r} of the result is in no operand" if missing else "the result names an axis twice"
        raise ShapeError(f"einsum {spec!r}: {wrong}")
    return sizes


def _einsum_type(*xs: TensorType, spec: str) -> TensorType:
    sizes = sizes_of(spec, [x.shape for x in xs])
    return TensorType(tuple(sizes[label] for label in parts_of(spec)[1]), xs[0].dtype)


def _einsum_numpy(*xs: np.ndarray, spec: str) -> np.ndarray:
    dtype = xs[0].dtype
    half = dtype.kind not in "biu" and dtype.itemsize < 4
    arrays = [x.astype(np.float32) for x in xs] if half else list(xs)
    if len(arrays) == 1:
        return np.einsum(spec, *arrays).astype(dtype)
    if len(arrays) == 2 and (made := _product(arrays[0], arrays[1], spec)) is not None:
        return made.astype(dtype, copy=False)
    inputs, output = parts_of(spec)
    labels, total = inputs[0], arrays[0]
    for place, (more, array) in enumerate(zip(inputs[1:], arrays[1:], strict=True), 2):
        needed = set(chain(output, *inputs[place:]))
        kept = "".join(label for label in dict.fromkeys(labels + more) if label in needed)
        total, labels = _pair(total, labels, array, more, kept), kept
    return np.einsum(f"{labels}->{output}", total).astype(dtype, copy=False)


def _product(a: np.ndarray, b: np.ndarray, spec: str) -> np.ndarray | None:
    """What `_pair` gives, at once, where the last axis of one operand meets the first of the other."""
    count = a.shape[-1] if a.ndim else 0
    if not is_product(spec) or a.dtype.kind != "f" or b.shape[0] != count or not a.size or not b.size:
        return None
    made = np.matmul(a.reshape(1, a.size // count, count), b.reshape(1, count, b.size // count))
    return made.reshape(a.shape[:-1] + b.shape[1:])


@cache
def is_product(spec: str) -> bool:
    """Whether it is a product like "ab,bc->ac" or "abc,cd->abd"."""
    inputs, output = parts_of(spec)
    left, right = inputs
    plain = len({*left, *right}) == len(left) + len(right) - 1
    return plain and left[-1:] == right[:1] != "" and output == left[:-1] + right[1:]


def _pair(a: np.ndarray, left: str, b: np.ndarray, right: str, kept: str) -> np.ndarray:
    """Two operands by matmul: batch axes, rows of a, the sum, columns of b."""
    a, left = _lone(a, left, right + kept)
    b, right = _lone(b, right, left + kept)
    both = [label for label in left if label in right]
    if a.dtype.kind not in "f" or any(a.shape[left.index(n)] != b.shape[right.index(n)] for n in both):
        return np.einsum(f"{left},{right}->{kept}", a, b)
    batch = "".join(label for label in both if label in kept)
    inner = "".join(label for label in both if label not in kept)
    rows, columns = ("".join(n for n in labels if n not in both) for labels in (left, right))
    shape = {**dict(zip(left, a.shape, strict=True)), **dict(zip(right, b.shape, strict=True))}
    size = [int(np.prod([shape[n] for n in group], dtype=np.int64)) for group in (batch, rows, inner, columns)]
    one = np.einsum(f"{left}->{batch}{rows}{inner}", a).reshape(size[0], size[1], size[2])
    other = np.einsum(f"{right}->{batch}{inner}{columns}", b).reshape(size[0], size[2], size[3])
    result = np.matmul(one, other).reshape([shape[n] for n in batch + rows + columns])
    return np.einsum(f"{batch}{rows}{columns}->{kept}", result)


def _lone(x: np.ndarray, labels: str, elsewhere: str) -> tuple[np.ndarray, str]:
    """The operand without repeated labels, and summed over those that nothing else has."""
    kept = "".join(label for label in dict.fromkeys(labels) if label in elsewhere)
    return (x, labels) if kept == labels else (np.einsum(f"{labels}->{kept}", x), kept)


# the gradient ----------------------------------------------------------------------------------------------------


def _einsum_vjp(g: Symbol, y: Symbol, *xs: Symbol, spec: str) -> tuple[Any, ...]:
    sizes = sizes_of(spec, [x.type.shape for x in xs])
    return tuple(_one_gradient(g, xs, spec, place, sizes) for place in range(len(xs)))


def _one_gradient(g: Symbol, xs: Sequence[Symbol], spec: str, place: int, sizes: dict[str, Dim]) -> Any:
    """g takes the operand's place, and the operand's labels become the result's."""
    inputs, output = parts_of(spec)
    shape, own = xs[place].type.shape, inputs[place]
    given = [*inputs[:place], output, *inputs[place + 1 :]]
    first = dict(zip(own, shape, strict=True))
    stretched = {label for label, size in first.items() if size == 1 and sizes[label] != 1}
    unique = "".join(dict.fromkeys(own))
    found = "".join(label for label in unique if label in "".join(given) and label not in stretched)
    result = einsum(*xs[:place], g, *xs[place + 1 :], spec=f"{','.join(given)}->{found}")
    have = dict(zip(found, shape_of(result), strict=True))
    result = reshape(result, shape=tuple(have.get(label, 1) for label in unique))
    wanted = tuple(first[label] for label in unique)
    if shape_of(result) != wanted:
        result = broadcast_to(result, shape=wanted)
    return result if unique == own else _spread(result, own, shape)


def _spread(x: Any, own: str, shape: Shape) -> Any:
    """The gradient of a diagonal: x on it, 0 elsewhere."""
    first = [own.index(label) == axis for axis, label in enumerate(own)]
    sizes = iter(shape_of(x))
    x = reshape(x, shape=tuple(next(sizes) if new else 1 for new in first))
    for axis, new in enumerate(first):
        if not new:
            pair = (own.index(own[axis]), axis)
            line = tuple(size if place in pair else 1 for place, size in enumerate(shape))
            i, j = (iota(shape=line, axis=one, dtype="int32") for one in pair)
            x = where(equal(i, j), x, 0)
    return x


einsum = primitive(
    Op(
        name="einsum",
        kind="contract",
        type=_einsum_type,
        numpy=_einsum_numpy,
        casts=no_bools,
        vjp=_einsum_vjp,
    )
)
