"""Gradients that a user writes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import wraps
from typing import Any

from kgraph import tree
from kgraph.errors import ArgumentError
from kgraph.graph.ir import Graph
from kgraph.graph.op import OPS, Op
from kgraph.graph.types import TensorType
from kgraph.tracing.capture import capture
from kgraph.tracing.recording import recorded, recorder
from kgraph.tracing.trace import Symbol, as_symbol, function, is_symbolic, primitive, record, symbol_input, tracing


def _first(y: Any, *_: Any, **__: Any) -> Any:
    return y


def _vjp(g: Symbol, _out: Symbol, y: Symbol, *rest: Symbol, backward: Graph, given: int) -> tuple[Any, ...]:
    found = instantiated(backward, [g, *rest[given:]])
    return (None, *found, *[None] * (len(rest) - given))


primitive(
    Op(
        name="with_gradient",  # (y, *xs, *read): y, whose gradients with respect to xs are what `backward` says
        kind="compose",
        type=_first,
        numpy=_first,
        opened=_first,
        vjp=_vjp,
    )
)


def instantiated(graph: Graph, inputs: Sequence[Symbol]) -> list[Symbol]:
    """The outputs of a graph as symbols over these inputs."""
    values = dict(zip(graph.inputs, inputs, strict=True))
    for node in graph:
        if node.name not in values:
            sources = tuple(values[name] for name in graph.arguments(node.name))
            values[node.name] = Symbol(node.op, sources, node.attrs, node.type, node.name, node.origin)
    return [values[name] for name in graph.outputs]


@function
def custom_gradient(f: Callable[..., Any]) -> Callable[..., Any]:
    """A function with a gradient of its own. `f(*args)` returns (output, grad).

    grad(upstream) gets the gradient of the output, a tensor of its type, and returns one for each tensor in args, None
    for none. The output is one tensor. Source: keras.ops.custom_gradient.

    Raises ArgumentError if `f` does not return such a pair, or grad another number of gradients.
    """

    @wraps(f)
    def wrapped(*args: Any, **options: Any) -> Any:
        found = f(*args, **options)
        if not isinstance(found, tuple) or len(found) != 2 or not callable(found[1]):
            raise ArgumentError(f"{_name(f)} returns (output, grad), where grad is a function; it gave {found!r:.80}")
        output, grad = found
        given = [leaf for leaf in tree.flatten(args) if leaf is not None]
        keep = recorder()
        if keep is None and not is_symbolic([*given, output]):
            return output
        symbols = [as_symbol(one) if keep is None else keep.symbol(one) for one in given]
        value = as_symbol(output) if keep is None else keep.symbol(output)
        made = _with_gradient(value, symbols, grad, _name(f))
        return made if keep is None else recorded(output, made)

    return wrapped


def _with_gradient(value: Symbol, given: list[Symbol], grad: Callable[..., Any], name: str) -> Symbol:
    upstream = symbol_input("upstream", value.type)
    with tracing():
        found = grad(upstream)
    parts = list(found) if isinstance(found, (list, tuple)) else [found]
    if len(parts) != len(given):
        raise ArgumentError(f"the gradient of {name} has {len(parts)} parts, and its arguments {len(given)} tensors")
    zeros = [as_symbol(0.0, one.type.dtype) for one in given]
    parts = [zero if part is None else as_symbol(part) for part, zero in zip(parts, zeros, strict=True)]
    for part, one in zip(parts, given, strict=True):
        _check(part.type, one, name)
    body, read = capture(parts, [upstream])
    return record(OPS["with_gradient"], (value, *given, *read), {"backward": body, "given": len(given)})


def _check(kind: TensorType, argument: Symbol, name: str) -> None:
    if kind.shape not in ((), argument.type.shape):
        raise ArgumentError(f"the gradient of {name} for {argument.name} is {kind}, and the tensor {argument.type}")


def _name(call: Any) -> str:
    return getattr(call, "__name__", type(call).__name__)
