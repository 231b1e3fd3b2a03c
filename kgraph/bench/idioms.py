"""A graph as the peers like it: sizes that are numbers, and a name for each composition they have a function for.

A Dense layer is an einsum and an add in a graph; torch has one function for both, and one for layer normalisation,
attention and so on. Whoever writes for torch or ONNX by hand would use these, so the translations do too.
"""

from __future__ import annotations

from collections.abc import Mapping
from math import isclose, prod
from typing import Any

import numpy as np

from kgraph.bench.product import product
from kgraph.graph.ir import Graph
from kgraph.graph.op import Op
from kgraph.graph.sizes import resolve
from kgraph.graph.types import TensorType
from kgraph.passes.fold import fold
from kgraph.passes.merge import merge
from kgraph.passes.rewrite import Rule, number_of, rewrite, row
from kgraph.tracing.trace import Symbol, record

add, cast, einsum, erf, multiply, reshape = map(row, ("add", "cast", "einsum", "erf", "multiply", "reshape"))
rsqrt, softmax, square, subtract, tanh, where = map(row, ("rsqrt", "softmax", "square", "subtract", "tanh", "where"))
divide, total = row("divide"), row("sum")

SCORES, MIXED = ("bthk,bshk->bhts", "bhts,bshk->bthk")  # of attention, as Keras lays it out


def specialised(graph: Graph, sizes: Mapping[str, int]) -> Graph:
    """The outputs of a graph, and nothing of its state, for these sizes."""
    graph = graph.copy()
    graph.updates = {}
    for node in list(graph.prune()):
        attrs = {key: resolve(value, sizes) for key, value in node.attrs.items()}
        kind = TensorType(resolve(node.tensor.shape, sizes), node.tensor.dtype)
        op = node.op
        if op == "size":
            op, attrs = "const", {"value": np.asarray(attrs["dim"], np.int32)}
        graph.set(node.name, op=op, attrs=attrs, type=kind)
    return rewrite(merge(fold(graph)), KNOWN)


def named(graph: Graph) -> Graph:
    """A specialised graph with the ops linear, layer_norm, batch_norm, gelu, attention and mse where they are meant."""
    return rewrite(graph, RULES)


def shape_in(graph: Graph, name: str) -> tuple[int, ...]:
    """The shape of a value of a specialised graph."""
    return resolve(graph[name].tensor.shape, {})


def idiom(name: str) -> Any:
    """An op that only peers know; its result has the type `like`."""
    op = Op(name=name, kind="compose", type=lambda *_, like, **__: like, numpy=lambda *_, **__: None)
    return lambda *args, **attrs: record(op, args, attrs)


linear, layer_norm, batch_norm, gelu = map(idiom, ("linear", "layer_norm", "batch_norm", "gelu"))
attention, mse = map(idiom, ("attention", "mse"))


def is_weight(x: Symbol) -> bool:
    """Whether a wildcard stands for a weight."""
    return "variable" in x.attrs


# when a place is not what it looks like ---------------------------------------------------------------------------


def no_linear(x: Symbol, w: Symbol, spec: str, b: Symbol | None = None) -> Any:
    if spec.count(",") != 1 or not is_weight(w) or not (b is None or is_weight(b)):
        return "the right operand and the bias are no weights"
    found = product(spec, x.type.shape, w.type.shape)
    fits = found and not found.batched and found.axes == tuple(range(len(found.axes)))
    if found and b is not None:
        fits = fits and b.type.shape == found.made[len(found.left.shape) - 1 :]
    return not fits and "it is no product of rows with a matrix"


def no_layer_norm(x: Symbol, n: Symbol, m: Symbol, eps: Symbol, g: Symbol, b: Symbol, axes: tuple[int, ...]) -> Any:
    last = (x.type.rank - 1,)
    return not (axes == last and is_mean(x, n, m, eps, g, b, axes)) and "it is not over the last axis"


def no_batch_mean(x: Symbol, n: Symbol, m: Symbol, eps: Symbol, g: Symbol, b: Symbol, axes: tuple[int, ...]) -> Any:
    rows = x.type.rank == 2 and axes == (0,) and x.type.shape[0] > 1  # torch refuses to normalise a batch of one
    return not (rows and is_mean(x, n, m, eps, g, b, axes)) and "it is not over the batch"


def is_mean(x: Symbol, n: Symbol, m: Symbol, eps: Symbol, g: Symbol, b: Symbol, axes: tuple[int, ...]) -> bool:
    """Whether the sums over these axes are divided by their size, and the weights lie along the last one."""
    size = prod(x.type.shape[axis] for axis in axes)
    fits = number_of(n) == number_of(m) == size and g.type.shape == b.type.shape == x.type.shape[-1:]
    return fits and number_of(eps) is not None


def no_batch_norm(x: Symbol, m: Symbol, v: Symbol, g: Symbol, b: Symbol, eps: Symbol) -> Any:
    last = x.type.shape[-1:]
    fits = all(is_weight(one) and one.type.shape == last for one in (m, v, g, b)) and number_of(eps) is not None
    return not (fits and x.type.rank == 2) and "it is not over the channels of rows"


def not_these(**wanted: float) -> Any:
    """A check that wildcards are these numbers, as float32 rounds them."""

    def differ(b: Symbol, c: Symbol, d: Symbol, a: Symbol | None = None) -> Any:
        given = {"a": a, "b": b, "c": c, "d": d}
        found = {key: number_of(one) for key, one in given.items() if one is not None}
        same = all(isinstance(found[key], float) and isclose(found[key], wanted[key], rel_tol=1e-6) for key in wanted)
        return not same and "the numbers are others"

    return differ


def no_attention(spec: str, after: str, c: Symbol, axes: tuple[int, ...]) -> Any:
    fits = relabelled(spec) == relabelled(SCORES) and relabelled(after) == relabelled(MIXED) and axes == (3,)
    return not (fits and number_of(c) is not None) and "the axes are others"


def relabelled(spec: str) -> str:
    """The einsum with its axes called a, b, c, ... as they come."""
    names: dict[str, str] = {}
    return "".join(names.setdefault(one, chr(97 + len(names))) if one.isalpha() else one for one in spec)


def no_mse(t: Symbol, y: Symbol, n: Symbol, m: Symbol) -> Any:
    numbers = number_of(n), number_of(m)
    same = t.type == y.type and None not in numbers and numbers[0] * numbers[1] == y.type.size
    return not same and "it is no mean of all"


# the rules --------------------------------------------------------------------------------------------------------


def normalised(x: Any, n: Any, m: Any, eps: Any, axes: Any) -> Any:
    """What layer normalisation does before it scales."""
    centred = subtract(x, divide(total(x, axes=axes, keepdims=True), n))
    variance = divide(total(square(centred), axes=axes, keepdims=True), m)
    return multiply(centred, rsqrt(add(variance, eps)))


def scaled_by_moving(x: Any, m: Any, v: Any, g: Any, b: Any, eps: Any, s: Any) -> Any:
    """Batch normalisation by the moving mean and variance."""

    def lay(one: Any) -> Any:
        return reshape(one, shape=s)

    return add(multiply(multiply(subtract(x, lay(m)), rsqrt(add(lay(v), eps))), lay(g)), lay(b))


def scaled(x: Any, n: Any, m: Any, eps: Any, g: Any, b: Any, axes: Any, s: Any, t: Any) -> Any:
    """Normalisation by the numbers themselves, over any axes."""
    return add(multiply(normalised(x, n, m, eps, axes), reshape(g, shape=s)), reshape(b, shape=t))


def decided(c: Symbol, a: Symbol, b: Symbol) -> Symbol:
    """The side of a `where` that a known condition takes."""
    return a if number_of(c) else b


KNOWN = (
    Rule("where of a known condition",
         lambda c, a, b: where(c, a, b), decided,
         lambda c: number_of(c) is None and "the condition is not known", shared=True),
    Rule("cast to its own type",
         lambda x, dtype: cast(x, dtype=dtype), lambda x: x,
         lambda x, dtype: x.type.dtype != dtype and "the types differ", shared=True),
)  # fmt: skip

RULES = (
    Rule("linear",
         lambda x, w, b, spec: add(einsum(x, w, spec=spec), b),
         lambda x, w, b, spec: linear(x, w, b, spec=spec, like=_shape_of(x, w, spec)),
         no_linear),
    Rule("linear without bias",
         lambda x, w, spec: einsum(x, w, spec=spec),
         lambda x, w, spec: linear(x, w, spec=spec, like=_shape_of(x, w, spec)),
         no_linear),
    Rule("layer norm", scaled,
         lambda x, g, b, eps: layer_norm(x, g, b, epsilon=number_of(eps), like=x.type),
         no_layer_norm),
    Rule("batch norm", scaled_by_moving,
         lambda x, m, v, g, b, eps: batch_norm(x, m, v, g, b, epsilon=number_of(eps), like=x.type),
         no_batch_norm),
    Rule("batch norm of the batch", scaled,
         lambda x, g, b, eps: batch_norm(x, g, b, epsilon=number_of(eps), like=x.type),
         no_batch_mean),
    Rule("gelu by tanh",
         lambda x, a, b, c, d: multiply(multiply(x, c), add(
             tanh(multiply(add(x, multiply(multiply(multiply(x, x), x), a)), b)), d)),
         lambda x: gelu(x, approximate=True, like=x.type),
         not_these(a=0.044715, b=(2 / np.pi) ** 0.5, c=0.5, d=1.0)),
    Rule("gelu",
         lambda x, b, c, d: multiply(multiply(x, c), add(erf(multiply(x, b)), d)),
         lambda x: gelu(x, approximate=False, like=x.type),
         not_these(b=0.5**0.5, c=0.5, d=1.0)),
    Rule("attention",
         lambda q, k, v, c, spec, after, axes: einsum(
             softmax(multiply(einsum(q, k, spec=spec), c), axes=axes), v, spec=after),
         lambda q, k, v, c: attention(q, k, v, scale=number_of(c), like=q.type),
         no_attention),
    Rule("mse",
         lambda t, y, n, m, a, b: divide(
             total(divide(total(square(subtract(t, y)), axes=a, keepdims=False), n), axes=b, keepdims=False), m),
         lambda t, y, n, m: mse(t, y, like=TensorType((), y.type.dtype)),
         no_mse),
)  # fmt: skip


def _shape_of(x: Symbol, w: Symbol, spec: str) -> TensorType:
    found = product(spec, x.type.shape, w.type.shape)
    assert found is not None
    return TensorType(found.made, x.type.dtype)
