"""A graph of ops computed by torch: a module whose forward is straight-line Python, as one would write it by hand."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import torch

from kgraph.bench.idioms import named, shape_in, specialised
from kgraph.bench.product import View, multiplied, product
from kgraph.bench.torch_calls import Made, tensors
from kgraph.graph.evaluate import bind_sizes
from kgraph.graph.ir import LEAVES, Graph, Node

# Expressions: {0}, {1} are the operands, names the attributes. Operands that are single numbers are written as numbers.
ROWS: dict[str, str] = {
    "add": "{0} + {1}",
    "subtract": "{0} - {1}",
    "multiply": "{0} * {1}",
    "divide": "{0} / {1}",
    "power": "{0} ** {1}",
    "equal": "{0} == {1}",
    "not_equal": "{0} != {1}",
    "less": "{0} < {1}",
    "less_equal": "{0} <= {1}",
    "greater": "{0} > {1}",
    "greater_equal": "{0} >= {1}",
    "where": "torch.where({0}, {1}, {2})",
    **{
        name: f"torch.{name}({{0}}, {{1}})"
        for name in (
            "maximum", "minimum", "arctan2", "floor_divide", "logical_and", "logical_or", "logical_xor", "bitwise_and",
            "bitwise_or", "bitwise_xor",
        )
    },
    **{
        name: f"torch.{name}({{0}})"
        for name in (
            "negative", "absolute", "sign", "square", "sqrt", "rsqrt", "reciprocal", "exp", "expm1", "log", "log1p",
            "sin", "cos", "tan", "arcsin", "arccos", "arctan", "sinh", "cosh", "tanh", "arcsinh", "arccosh", "arctanh",
            "sigmoid", "relu", "erf", "floor", "ceil", "round", "trunc", "isnan", "isinf", "isfinite", "logical_not",
            "bitwise_not",
        )
    },
    "mod": "torch.remainder({0}, {1})",
    "softplus": "F.softplus({0})",
    "stop_gradient": "{0}.detach()",
    "cast": "{0}.to(torch.{dtype})",
    "sum": "{0}.sum({axes}, keepdim={keepdims})",
    "max": "{0}.amax({axes}, keepdim={keepdims})",
    "min": "{0}.amin({axes}, keepdim={keepdims})",
    "any": "torch.any({0}, {axes}, keepdim={keepdims})",
    "all": "torch.all({0}, {axes}, keepdim={keepdims})",
    "argmax": "torch.argmax({0}, {axes[0]}, keepdim={keepdims}).to(torch.int32)",
    "argmin": "torch.argmin({0}, {axes[0]}, keepdim={keepdims}).to(torch.int32)",
    "reshape": "{0}.reshape({shape})",
    "transpose": "{0}.permute({axes})",
    "broadcast_to": "{0}.expand({shape})",
    "flip": "torch.flip({0}, {axes})",
    "cumsum": "torch.cumsum({0}, {axis})",
    "cumprod": "torch.cumprod({0}, {axis})",
    "take_along_axis": "torch.take_along_dim({0}, {1}.long(), {axis})",
    "softmax": "torch.softmax({0}, {axes[0]})",
    "log_softmax": "torch.log_softmax({0}, {axes[0]})",
    "mse": "F.mse_loss({1}, {0})",
    "attention": "F.scaled_dot_product_attention({0}.transpose(1, 2), {1}.transpose(1, 2), {2}.transpose(1, 2), "
    "scale={scale}).transpose(1, 2)",
}  # fmt: skip
NUMBERS = frozenset(("add", "subtract", "multiply", "divide", "power", "where", "equal", "not_equal", "less",
                     "less_equal", "greater", "greater_equal"))  # fmt: skip


class Unknown(Exception):
    """An op that torch is not told how to compute."""


class Module(torch.nn.Module):
    """The weights and constants of a graph, and its ops as the source of `forward`."""

    def __init__(self, graph: Graph, shapes: Sequence[tuple[int, ...]]) -> None:
        super().__init__()
        self.graph = graph = named(specialised(graph, bind_sizes(graph, shapes)))
        self.names = {node.name: f"v{number}" for number, node in enumerate(graph)}
        self.back: dict[str, Callable[[np.ndarray], np.ndarray]] = {}  # gradients in the layout of our weights
        lines = [line for node in graph for line in self._lines(node)]
        inputs = ", ".join(self.names[name] for name in graph.inputs)
        results = "".join(f"{self.names[name]}, " for name in graph.outputs)
        self.source = "\n    ".join([f"def forward(self, {inputs}):", *lines, f"return {results}"]) + "\n"
        namespace: dict[str, Any] = {"torch": torch, "F": torch.nn.functional}
        exec(compile(self.source, "<graph for torch>", "exec"), namespace)
        self.forward = namespace["forward"].__get__(self)

    def weight_of(self, name: str) -> Any:
        """The parameter of this node; None if the graph does not have it."""
        return getattr(self, self.names[name].removeprefix("self.")) if name in self.graph else None

    def _lines(self, node: Node) -> Sequence[str]:
        """What a node is in the source of `forward`."""
        own = self.names[node.name]
        if node.op == "param":
            self.names[node.name] = f"self.{own}"
            self._register(node, own)
            return []
        if node.op == "const":
            return self._constant(node, own)
        if node.op in LEAVES:
            return []
        return [f"{own} = {self._expression(node)}"]

    def _register(self, node: Node, own: str) -> None:
        value, back = node.attrs["variable"].numpy(), lambda gradient: gradient
        (reader, *others) = self.graph.readers(node.name) or [""]
        if reader and not others and self.graph[reader].op == "linear":
            value, back = self._as_linear(node, reader, value)
        self.back[node.name] = back
        tensor = torch.from_numpy(np.array(value, order="C"))
        self.register_parameter(own, torch.nn.Parameter(tensor, requires_grad=tensor.is_floating_point()))

    def _as_linear(self, node: Node, reader: str, value: np.ndarray) -> tuple[np.ndarray, Any]:
        """A weight in the layout of torch.nn.Linear: (outputs, inputs), and a flat bias."""
        x, w, *_ = self.graph.arguments(reader)
        if node.name != w:
            return value.reshape(-1), lambda gradient: gradient.reshape(value.shape)
        view = self._product(reader, x, w).right
        turned = value.transpose(view.axes)
        back = np.argsort(view.axes)
        return turned.reshape(view.shape).T, lambda gradient: gradient.T.reshape(turned.shape).transpose(back)

    def _constant(self, node: Node, own: str) -> Sequence[str]:
        value = node.attrs["value"]
        if value.size == 1 and np.isfinite(value).all():
            readers = [self.graph[name] for name in self.graph.readers(node.name)]
            if value.ndim == 0 and readers and all(one.op in NUMBERS for one in readers):
                self.names[node.name] = repr(value.item())
                return []
        self.register_buffer(own, torch.from_numpy(np.array(value)))
        self.names[node.name] = f"self.{own}"
        return []

    def _expression(self, node: Node) -> str:
        sources = self.graph.arguments(node.name)
        operands = [self.names[name] for name in sources]
        if node.op in WRITTEN:
            return WRITTEN[node.op](self, node, sources, operands)
        if node.op not in ROWS or (node.op in ("softmax", "log_softmax") and len(node.attrs["axes"]) > 1):
            raise Unknown(node.op)
        return ROWS[node.op].format(*operands, **node.attrs)

    def _product(self, name: str, left: str, right: str) -> Any:
        shapes = [shape_in(self.graph, one) for one in (left, right)]
        return product(self.graph[name].attrs["spec"], *shapes)

    def _viewed(self, text: str, shape: Sequence[int], view: View) -> str:
        """An operand, turned and flattened."""
        turned = f"{text}.permute({view.axes})" if view.turns() else text
        there = tuple(shape[axis] for axis in view.axes)
        return turned if there == view.shape else f"{turned}.reshape({view.shape})"


def _linear(module: Module, node: Node, sources: list[str], operands: list[str]) -> str:
    found = module._product(node.name, sources[0], sources[1])
    left = module._viewed(operands[0], shape_in(module.graph, sources[0]), found.left)
    weight, *bias = operands[1:]
    if module.graph.readers(sources[1]) != [node.name]:
        weight = f"{module._viewed(weight, shape_in(module.graph, sources[1]), found.right)}.t()"
    if bias and module.graph.readers(sources[2]) != [node.name]:
        bias = [f"{bias[0]}.reshape(-1)"]
    made = (*found.left.shape[:-1], found.right.shape[-1])
    text = f"F.linear({', '.join([left, weight, *bias])})"
    return text if made == found.made else f"{text}.reshape({found.made})"


def _layer_norm(module: Module, node: Node, sources: list[str], operands: list[str]) -> str:
    x, gamma, beta = operands
    return f"F.layer_norm({x}, {node.tensor.shape[-1:]}, {gamma}, {beta}, {node.attrs['epsilon']})"


def _batch_norm(module: Module, node: Node, sources: list[str], operands: list[str]) -> str:
    x, *moving, gamma, beta = operands
    how = f"{', '.join(moving)}, {gamma}, {beta}" if moving else f"None, None, {gamma}, {beta}, True"
    return f"F.batch_norm({x}, {how}, eps={node.attrs['epsilon']})"


def _einsum(module: Module, node: Node, sources: list[str], operands: list[str]) -> str:
    spec, shapes = node.attrs["spec"], [shape_in(module.graph, name) for name in sources]
    if len(sources) == 2 and (found := product(spec, *shapes)):
        sides = zip(operands, shapes, (found.left, found.right), strict=True)
        left, right = (module._viewed(*side) for side in sides)
        made = (*found.left.shape[:-1], found.right.shape[-1])
        shaped = f"torch.matmul({left}, {right})" + ("" if made == found.made else f".reshape({found.made})")
        ordered = found.axes == tuple(range(len(found.axes)))
        return shaped if ordered else f"{shaped}.permute({found.axes})"
    if len(sources) == 2 and (views := multiplied(spec, *shapes)):
        return " * ".join(module._viewed(*side) for side in zip(operands, shapes, views, strict=True))
    return f"torch.einsum({spec!r}, {', '.join(operands)})"


def _take(module: Module, node: Node, sources: list[str], operands: list[str]) -> str:
    table = module.graph[sources[0]].tensor
    if node.attrs["axis"] == 0 and table.rank == 2 and "variable" in module.graph[sources[0]].attrs:
        return f"F.embedding({operands[1]}, {operands[0]})"
    return f"{operands[0]}[{':, ' * node.attrs['axis']}{operands[1]}.long()]"


def _slice(module: Module, node: Node, sources: list[str], operands: list[str]) -> str:
    parts, flipped = [], []
    bounds = [node.attrs[key] for key in ("starts", "sizes", "steps")]
    for axis, (start, size, step) in enumerate(zip(*bounds, strict=True)):
        last = start + step * (size - 1)
        low, high = min(start, last), max(start, last)
        parts.append(f"{low}:{max(high + 1, low) if size else low}:{abs(step)}")
        flipped += [axis] if step < 0 else []
    text = f"{operands[0]}[{', '.join(parts)}]" if parts else operands[0]
    return f"torch.flip({text}, {tuple(flipped)})" if flipped else text


def _gelu(module: Module, node: Node, sources: list[str], operands: list[str]) -> str:
    return f"F.gelu({operands[0]}, approximate={'tanh' if node.attrs['approximate'] else 'none'!r})"


def _concatenate(module: Module, node: Node, sources: list[str], operands: list[str]) -> str:
    return f"torch.cat(({', '.join(operands)},), {node.attrs['axis']})"


WRITTEN: Mapping[str, Callable[[Module, Node, list[str], list[str]], str]] = {
    "linear": _linear,
    "layer_norm": _layer_norm,
    "batch_norm": _batch_norm,
    "einsum": _einsum,
    "take": _take,
    "slice": _slice,
    "gelu": _gelu,
    "concatenate": _concatenate,
}


def unknown_ops(graph: Graph) -> list[str]:
    """The ops of a graph that have no row here."""
    return sorted({node.op for node in graph if node.op not in (*LEAVES, "size")} - ROWS.keys() - WRITTEN.keys())


def made_for(graph: Graph, arguments: Sequence[np.ndarray], weights: Sequence[str]) -> Made:
    """A module for a graph whose output is a loss, and where these params are in it.

    A name that is no param of the graph has no influence on the loss, and reads as 0.
    """
    module = Module(graph, [one.shape for one in arguments])
    there = [name for name in weights if name in module.graph]

    def read(found: Sequence[np.ndarray]) -> list[np.ndarray]:
        values = {name: module.back[name](one) for name, one in zip(there, found, strict=True)}
        return [values.get(name, np.zeros((), np.float32)) for name in weights]

    return Made(module, tensors(arguments), [module.weight_of(name) for name in there], read)
