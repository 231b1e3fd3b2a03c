"""What a graph means: every op by its numpy row. Eager calls run this; the kernels are judged against it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from kgraph.errors import ShapeError
from kgraph.graph.ir import GRADIENTS, Graph, Node
from kgraph.graph.op import OPS
from kgraph.graph.sizes import Size, resolve, shown, unmet
from kgraph.graph.types import TensorType, is_floating, numpy_dtype

EXPAND: list[Callable[[Graph], Graph]] = []  # computes the gradients that a graph asks for; autodiff puts it here


def evaluate(
    graph: Graph,
    arguments: Sequence[Any],
    dtype: str | None = None,
    *,
    params: Sequence[Any] | None = None,
    sizes: Mapping[str, int] | None = None,
) -> tuple[list[Any], dict[Any, Any]]:
    """The outputs, and the new value of each updated variable.

    With dtype="float64" all floating point work, weights and constants included, is done in that type: the judge's run.
    A body is given the caller's `params`, in the order of `graph.params()`, and the caller's sizes.
    """
    sizes = bind_sizes(graph, [np.shape(argument) for argument in arguments], sizes)
    values = dict(zip(graph.inputs, (_wide(np.asarray(argument), dtype) for argument in arguments), strict=True))
    if params is not None:
        values.update(zip((node.name for node in graph.params()), params, strict=True))
    if any(graph[name].op == GRADIENTS for name in graph.nodes):
        graph = EXPAND[0](graph)
    with np.errstate(all="ignore"):
        for node in graph:
            if node.name not in values:
                values[node.name] = _value(node, [values[name] for name in graph.arguments(node.name)], sizes, dtype)
    updates = {graph[param].attrs["variable"]: values[name] for param, name in graph.updates.items()}
    return [values[name] for name in graph.outputs], updates


def bind_sizes(
    graph: Graph, shapes: Sequence[tuple[int, ...]], known: Mapping[str, int] | None = None
) -> dict[str, int]:
    """The named axes' sizes in a call with inputs of these shapes; ShapeError where they do not fit."""
    sizes: dict[str, int] = dict(known or {})
    for name, shape in zip(graph.inputs, shapes, strict=True):
        match_shape(name, graph[name].tensor, shape, sizes)
    for a, b, name in graph.assumed:
        if wrong := unmet(a, b, sizes):
            error = ShapeError(f"{name}: {wrong}")
            if name in graph and graph[name].origin:
                error.add_note(f"  from {graph[name].origin}")
            raise error
    return sizes


def match_shape(name: str, kind: TensorType, shape: tuple[int, ...], sizes: dict[str, int]) -> None:
    """Check one input's shape against its type, and note the sizes of the axes it names."""
    if len(shape) != kind.rank:
        raise ShapeError(f"input {name!r} wants {kind.rank} axes, {shown(kind.shape)}, and got shape {tuple(shape)}")
    for position, (want, have) in enumerate(zip(kind.shape, shape, strict=True)):
        if isinstance(want, Size):
            known = want.axes <= sizes.keys()
            if not known and len(want.axes) == 1 and want.terms == (((*want.axes,), 1),):
                sizes[next(iter(want.axes))] = have
                continue
            want = resolve(want, sizes)
        if want != have:
            wanted = f"wants shape {shown(kind.shape)} and got {tuple(shape)}"
            raise ShapeError(f"input {name!r} {wanted}: axis {position} is {have}, not {want}")


def _value(node: Node, arguments: list[Any], sizes: dict[str, int], dtype: str | None) -> Any:
    if node.op == "param":
        return _wide(node.attrs["variable"].numbers, dtype)
    if node.op == "const":
        return _wide(node.attrs["value"], dtype)
    if node.op == "item":
        return arguments[0][node.attrs["index"]]
    if node.op == "loop":
        return _loop(node, arguments, sizes, dtype)
    if node.op == "cond":
        branch = node.attrs["body" if arguments[0] else "other"]
        return evaluate(branch, arguments[1:], dtype, sizes=sizes)[0]
    if node.body is not None:
        return _call(node, arguments, sizes, dtype)
    attrs = {key: resolve(value, sizes) for key, value in node.attrs.items()}
    kind = numpy_dtype(node.tensor.dtype)
    result = np.asarray(OPS[node.op].numpy(*arguments, **attrs))
    return _wide(result.astype(kind, copy=False) if dtype is None or not is_floating(kind) else result, dtype)


def _loop(node: Node, arguments: list[Any], sizes: dict[str, int], dtype: str | None) -> list[Any]:
    """All results of a loop: what it carries last, and what its steps made, stacked. See ops/loops.py."""
    body, carried, attrs = node.body, node.attrs["carried"], node.attrs
    assert body is not None
    state, rest = arguments[:carried], arguments[carried + attrs["scanned"] :]
    cut = arguments[carried : carried + attrs["scanned"]]
    steps = range(resolve(attrs["length"], sizes))
    made = [body[name].tensor for name in body.outputs[carried:]]
    stacks = [_wide(np.zeros((len(steps), *resolve(one.shape, sizes)), numpy_dtype(one.dtype)), dtype) for one in made]
    for step in reversed(steps) if attrs["reverse"] else steps:
        if attrs["guarded"] and not state[0]:
            break
        values, _ = evaluate(body, [*state, *(x[step] for x in cut), *rest], dtype, sizes=sizes)
        state = values[:carried]
        for stack, value in zip(stacks, values[carried:], strict=True):
            stack[step] = value
    return [*state, *stacks]


def _call(node: Node, arguments: list[Any], sizes: dict[str, int], dtype: str | None) -> Any:
    body = node.body
    assert body is not None
    inputs = len(body.inputs)
    outputs, _ = evaluate(body, arguments[:inputs], dtype, params=arguments[inputs:] or None, sizes=sizes)
    return outputs if isinstance(node.type, tuple) else outputs[0]


def _wide(value: np.ndarray, dtype: str | None) -> np.ndarray:
    return value.astype(dtype) if dtype is not None and is_floating(value.dtype) else value
