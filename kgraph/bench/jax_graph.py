"""A graph of ops computed by jax: each op by its like in jax.numpy, the whole compiled by jax.jit."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from kgraph.bench import jax_calls
from kgraph.bench.idioms import specialised
from kgraph.graph.evaluate import bind_sizes
from kgraph.graph.ir import LEAVES, Graph

# Called in jax.numpy as in kgraph: the arguments by position, the attributes by name.
ALIKE = (
    "add", "subtract", "multiply", "divide", "floor_divide", "mod", "power", "maximum", "minimum", "arctan2", "equal",
    "not_equal", "less", "less_equal", "greater", "greater_equal", "logical_and", "logical_or", "logical_xor",
    "logical_not", "bitwise_and", "bitwise_or", "bitwise_xor", "bitwise_not", "left_shift", "right_shift", "where",
    "negative", "absolute", "sign", "square", "sqrt", "reciprocal", "exp", "expm1", "log", "log1p", "sin", "cos", "tan",
    "arcsin", "arccos", "arctan", "sinh", "cosh", "tanh", "arcsinh", "arccosh", "arctanh", "floor", "ceil", "round",
    "trunc", "isnan", "isinf", "isfinite", "take_along_axis", "cumsum", "cumprod", "reshape", "broadcast_to",
    "transpose",
)  # fmt: skip
REDUCTIONS = ("sum", "prod", "max", "min", "any", "all")


def _take(table: Any, indices: Any, axis: int, wraps: bool = True) -> Any:
    return jnp.take(table, indices, axis=axis)


def _slice(x: Any, starts: Sequence[int], sizes: Sequence[int], steps: Sequence[int]) -> Any:
    rows = [start + step * np.arange(size) for start, size, step in zip(starts, sizes, steps, strict=True)]
    if all(step > 0 for step in steps):
        ends = [start + step * (size - 1) + 1 for start, size, step in zip(starts, sizes, steps, strict=True)]
        return lax.slice(x, starts, [max(end, start) for end, start in zip(ends, starts, strict=True)], steps)
    return x[np.ix_(*rows)]


def _pad(x: Any, value: Any, low: Sequence[int], high: Sequence[int], interior: Sequence[int]) -> Any:
    return lax.pad(x, value, list(zip(low, high, interior, strict=True)))


def _scatter(method: str) -> Callable[..., Any]:
    def scatter(base: Any, indices: Any, updates: Any, axis: int) -> Any:
        return getattr(base.at[(slice(None),) * axis + (indices,)], method)(updates)

    return scatter


def _reduction(reduce: Callable[..., Any]) -> Callable[..., Any]:
    return lambda x, axes, keepdims: reduce(x, axis=axes, keepdims=keepdims)


def _position(find: Callable[..., Any]) -> Callable[..., Any]:
    return lambda x, axes, keepdims: find(x, axis=axes[0], keepdims=keepdims).astype(jnp.int32)


ROWS: dict[str, Callable[..., Any]] = {
    **{name: getattr(jnp, name) for name in ALIKE},
    **{name: _reduction(getattr(jnp, name)) for name in REDUCTIONS},
    "argmax": _position(jnp.argmax),
    "argmin": _position(jnp.argmin),
    "rsqrt": lax.rsqrt,
    "sigmoid": jax.nn.sigmoid,
    "softplus": jax.nn.softplus,
    "relu": jax.nn.relu,
    "erf": lax.erf,
    "erfinv": lax.erf_inv,
    "stop_gradient": lax.stop_gradient,
    "cast": lambda x, dtype: x.astype(dtype),
    "softmax": lambda x, axes: jax.nn.softmax(x, axes),
    "log_softmax": lambda x, axes: jax.nn.log_softmax(x, axes),
    "einsum": lambda *operands, spec: jnp.einsum(spec, *operands),
    "slice": _slice,
    "take": _take,
    "pad": _pad,
    "flip": lambda x, axes: jnp.flip(x, axes),
    "concatenate": lambda *parts, axis: jnp.concatenate(parts, axis),
    "iota": lambda shape, axis, dtype: lax.broadcasted_iota(dtype, shape, axis),
    "diagonal": lambda x, axis1, axis2: jnp.diagonal(x, 0, axis1, axis2),
    "scatter_add": _scatter("add"),
    "scatter_set": _scatter("set"),
}


def unknown_ops(graph: Graph) -> list[str]:
    """The ops of a graph that have no row here."""
    return sorted({node.op for node in graph if node.op not in (*LEAVES, "size")} - ROWS.keys())


def run(graph: Graph, params: Mapping[str, Any], arguments: Sequence[Any]) -> list[Any]:
    """The outputs; called by jax on tracers."""
    values = {**params, **dict(zip(graph.inputs, arguments, strict=True))}
    for node in graph:
        if node.op == "const":
            values[node.name] = jnp.asarray(node.attrs["value"])
        elif node.name not in values:
            values[node.name] = ROWS[node.op](*(values[name] for name in graph.arguments(node.name)), **node.attrs)
    return [values[name] for name in graph.outputs]


def made_for(graph: Graph, arguments: Sequence[np.ndarray]) -> tuple[jax_calls.Run, dict[str, Any]]:
    """The function that computes a graph for inputs of these shapes, and its params."""
    graph = specialised(graph, bind_sizes(graph, [one.shape for one in arguments]))
    return partial(run, graph), _params(graph)


def _params(graph: Graph) -> dict[str, Any]:
    return {node.name: jnp.asarray(node.attrs["variable"].numpy()) for node in graph.params()}
