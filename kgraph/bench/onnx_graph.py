"""A graph of ops as an ONNX model, for the runtimes that read one."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from kgraph.bench.idioms import MIXED, SCORES, named, shape_in, specialised
from kgraph.bench.product import View, multiplied, product
from kgraph.graph.evaluate import bind_sizes
from kgraph.graph.ir import LEAVES, Graph, Node

OPSET = 20
KINDS = {"float32": TensorProto.FLOAT, "float64": TensorProto.DOUBLE, "int32": TensorProto.INT32,
         "int64": TensorProto.INT64, "bool": TensorProto.BOOL}  # fmt: skip

# The ONNX operators that an op is, one after the other, each on the result of the one before.
ALIKE: dict[str, tuple[str, ...]] = {
    "add": ("Add",), "subtract": ("Sub",), "multiply": ("Mul",), "divide": ("Div",), "power": ("Pow",),
    "maximum": ("Max",), "minimum": ("Min",), "equal": ("Equal",), "not_equal": ("Equal", "Not"), "less": ("Less",),
    "less_equal": ("LessOrEqual",), "greater": ("Greater",), "greater_equal": ("GreaterOrEqual",),
    "logical_and": ("And",), "logical_or": ("Or",), "logical_xor": ("Xor",), "logical_not": ("Not",),
    "where": ("Where",), "negative": ("Neg",), "absolute": ("Abs",), "sign": ("Sign",), "sqrt": ("Sqrt",),
    "rsqrt": ("Sqrt", "Reciprocal"), "reciprocal": ("Reciprocal",), "exp": ("Exp",), "log": ("Log",), "sin": ("Sin",),
    "cos": ("Cos",), "tan": ("Tan",), "arcsin": ("Asin",), "arccos": ("Acos",), "arctan": ("Atan",),
    "sinh": ("Sinh",), "cosh": ("Cosh",), "tanh": ("Tanh",), "arcsinh": ("Asinh",), "arccosh": ("Acosh",),
    "arctanh": ("Atanh",), "sigmoid": ("Sigmoid",), "softplus": ("Softplus",), "relu": ("Relu",), "erf": ("Erf",),
    "floor": ("Floor",), "ceil": ("Ceil",), "round": ("Round",), "isnan": ("IsNaN",), "isinf": ("IsInf",),
    "stop_gradient": ("Identity",),
}  # fmt: skip
REDUCTIONS = {"sum": "ReduceSum", "prod": "ReduceProd", "max": "ReduceMax", "min": "ReduceMin"}


class Unknown(Exception):
    """An op that ONNX is not told how to compute."""


class Pieces:
    """A model under construction: nodes and initialisers as they come."""

    def __init__(self) -> None:
        self.nodes: list[Any] = []
        self.constants: list[Any] = []
        self.count = 0

    def constant(self, value: Any) -> str:
        """An initialiser."""
        name = f"c{len(self.constants)}"
        self.constants.append(numpy_helper.from_array(np.asarray(value), name))
        return name

    def put(self, op: str, *operands: str, result: str = "", place: int = 0, **attrs: Any) -> str:
        """One ONNX node; returns its result. place: which of its results that is, where it has several."""
        self.count += 1
        result = result or f"v{self.count}"
        self.nodes.append(helper.make_node(op, list(operands), [*[""] * place, result], **attrs))
        return result

    def serialised(self, inputs: Sequence[Any], outputs: Sequence[Any]) -> bytes:
        """The model with these declarations."""
        made = helper.make_graph(self.nodes, "graph", inputs, outputs, self.constants)
        made = helper.make_model(made, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=10)
        onnx.checker.check_model(made)
        return made.SerializeToString()


class Writer(Pieces):
    """A graph under translation."""

    def __init__(self, graph: Graph, shapes: Sequence[tuple[int, ...]]) -> None:
        super().__init__()
        self.graph = named(specialised(graph, bind_sizes(graph, shapes)))

    def model(self) -> bytes:
        """The serialised model; its inputs and outputs go by the graph's order: in0, in1, out0."""
        graph = self.graph
        names = {name: f"in{number}" for number, name in enumerate(graph.inputs)}
        for node in graph:
            if node.op in ("param", "const"):
                value = node.attrs["variable"].numpy() if node.op == "param" else node.attrs["value"]
                names[node.name] = self.constant(np.ascontiguousarray(value).reshape(np.shape(value)))
            elif node.op not in LEAVES:
                names[node.name] = self.write(node, [names[name] for name in graph.arguments(node.name)])
        results = [f"out{number}" for number in range(len(graph.outputs))]
        for name, result in zip(graph.outputs, results, strict=True):
            self.put("Identity", names[name], result=result)
        inputs = [self.value(names[name], name) for name in graph.inputs]
        outputs = [self.value(result, name) for name, result in zip(graph.outputs, results, strict=True)]
        return self.serialised(inputs, outputs)

    def value(self, name: str, of: str) -> Any:
        """The declaration of an input or output."""
        kind = self.graph[of].tensor
        return helper.make_tensor_value_info(name, KINDS[kind.dtype], kind.shape)

    def write(self, node: Node, operands: list[str]) -> str:
        """The nodes of one op."""
        if node.op in WRITTEN:
            return WRITTEN[node.op](self, node, operands)
        if node.op in REDUCTIONS:
            axes = self.constant(np.asarray(node.attrs["axes"], np.int64))
            return self.put(REDUCTIONS[node.op], *operands, axes, keepdims=int(node.attrs["keepdims"]))
        if node.op not in ALIKE:
            raise Unknown(node.op)
        for op in ALIKE[node.op]:
            operands = [self.put(op, *operands)]
        return operands[0]

    def shapes(self, node: Node) -> list[tuple[int, ...]]:
        """The shapes of the operands."""
        return [shape_in(self.graph, name) for name in self.graph.arguments(node.name)]

    def viewed(self, value: str, shape: tuple[int, ...], view: View) -> str:
        """A value, turned and flattened; a weight is so ahead of all calls."""
        known = next((one for one in self.constants if one.name == value), None)
        if known is not None:
            array = numpy_helper.to_array(known).transpose(view.axes).reshape(view.shape)
            return self.constant(np.ascontiguousarray(array)) if array.shape != shape or view.turns() else value
        if view.turns():
            value = self.put("Transpose", value, perm=view.axes)
        return self.reshaped(value, tuple(shape[axis] for axis in view.axes), view.shape)

    def reshaped(self, value: str, have: tuple[int, ...], want: tuple[int, ...]) -> str:
        """A value in another shape, if it is another."""
        return value if have == want else self.put("Reshape", value, self.constant(np.asarray(want, np.int64)))


def _linear(writer: Writer, node: Node, operands: list[str]) -> str:
    left_shape, right_shape, *_ = writer.shapes(node)
    found = product(node.attrs["spec"], left_shape, right_shape)
    assert found is not None
    left = writer.viewed(operands[0], left_shape, found.left)
    right = writer.viewed(operands[1], right_shape, found.right)
    made = (*found.left.shape[:-1], found.right.shape[-1])
    bias = [writer.viewed(one, writer.shapes(node)[2], flat(writer.shapes(node)[2])) for one in operands[2:]]
    if bias and len(found.left.shape) == 2:
        result = writer.put("Gemm", left, right, *bias)
    else:
        result = writer.put("MatMul", left, right)
        result = writer.put("Add", result, *bias) if bias else result
    return writer.reshaped(result, made, found.made)


def flat(shape: tuple[int, ...]) -> View:
    """All axes as one."""
    return View(tuple(range(len(shape))), (int(np.prod(shape)),))


def _einsum(writer: Writer, node: Node, operands: list[str]) -> str:
    return contracted(writer, node.attrs["spec"], operands, writer.shapes(node))


def contracted(writer: Writer, spec: str, operands: Sequence[str], shapes: Sequence[tuple[int, ...]]) -> str:
    """An einsum as MatMul or Mul where it is one."""
    if len(operands) == 2 and (found := product(spec, *shapes)):
        sides = zip(operands, shapes, (found.left, found.right), strict=True)
        result = writer.put("MatMul", *(writer.viewed(*side) for side in sides))
        result = writer.reshaped(result, (*found.left.shape[:-1], found.right.shape[-1]), found.made)
        ordered = found.axes == tuple(range(len(found.axes)))
        return result if ordered else writer.put("Transpose", result, perm=found.axes)
    if len(operands) == 2 and (views := multiplied(spec, *shapes)):
        return writer.put("Mul", *(writer.viewed(*side) for side in zip(operands, shapes, views, strict=True)))
    return writer.put("Einsum", *operands, equation=spec)


def _attention(writer: Writer, node: Node, operands: list[str]) -> str:
    query, key, value = writer.shapes(node)
    batch, length, heads, _ = query
    scores = contracted(writer, SCORES, operands[:2], (query, key))
    scores = writer.put("Mul", scores, writer.constant(np.asarray(node.attrs["scale"], node.tensor.dtype)))
    scores = writer.put("Softmax", scores, axis=3)
    return contracted(writer, MIXED, [scores, operands[2]], ((batch, heads, length, key[1]), value))


def _softmax(writer: Writer, node: Node, operands: list[str]) -> str:
    if len(node.attrs["axes"]) > 1:
        raise Unknown(f"{node.op} over several axes")
    return writer.put(
        {"softmax": "Softmax", "log_softmax": "LogSoftmax"}[node.op], *operands, axis=node.attrs["axes"][0]
    )


def _batch_norm(writer: Writer, node: Node, operands: list[str]) -> str:
    if len(operands) != 5:
        raise Unknown("batch normalisation by the batch")
    x, mean, variance, gamma, beta = operands
    return writer.put("BatchNormalization", x, gamma, beta, mean, variance, epsilon=node.attrs["epsilon"])


def _slice(writer: Writer, node: Node, operands: list[str]) -> str:
    starts, sizes, steps = (node.attrs[key] for key in ("starts", "sizes", "steps"))
    ends = [start + step * size for start, size, step in zip(starts, sizes, steps, strict=True)]
    ends = [end if end >= 0 else -(1 << 40) for end in ends]
    bounds = (starts, ends, range(len(starts)), steps)
    return writer.put("Slice", *operands, *(writer.constant(np.asarray(list(one), np.int64)) for one in bounds))


def _layer_norm(writer: Writer, node: Node, operands: list[str]) -> str:
    return writer.put("LayerNormalization", *operands, axis=-1, epsilon=node.attrs["epsilon"])


def _gelu(writer: Writer, node: Node, operands: list[str]) -> str:
    return writer.put("Gelu", *operands, approximate="tanh" if node.attrs["approximate"] else "none")


def _log1p(writer: Writer, node: Node, operands: list[str]) -> str:
    return writer.put("Log", writer.put("Add", *operands, writer.constant(np.ones((), node.tensor.dtype))))


def _expm1(writer: Writer, node: Node, operands: list[str]) -> str:
    return writer.put("Sub", writer.put("Exp", *operands), writer.constant(np.ones((), node.tensor.dtype)))


def _shaped(op: str) -> Callable[[Writer, Node, list[str]], str]:
    def write(writer: Writer, node: Node, operands: list[str]) -> str:
        return writer.put(op, *operands, writer.constant(np.asarray(node.attrs["shape"], np.int64)))

    return write


def _axis(op: str) -> Callable[[Writer, Node, list[str]], str]:
    return lambda writer, node, operands: writer.put(op, *operands, axis=node.attrs["axis"])


WRITTEN: Mapping[str, Callable[[Writer, Node, list[str]], str]] = {
    "linear": _linear,
    "einsum": _einsum,
    "attention": _attention,
    "softmax": _softmax,
    "log_softmax": _softmax,
    "layer_norm": _layer_norm,
    "batch_norm": _batch_norm,
    "gelu": _gelu,
    "log1p": _log1p,
    "expm1": _expm1,
    "slice": _slice,
    "reshape": _shaped("Reshape"),
    "broadcast_to": _shaped("Expand"),
    "take": _axis("Gather"),
    "take_along_axis": _axis("GatherElements"),
    "concatenate": _axis("Concat"),
    "square": lambda writer, node, operands: writer.put("Mul", operands[0], operands[0]),
    "transpose": lambda writer, node, operands: writer.put("Transpose", *operands, perm=node.attrs["axes"]),
    "cast": lambda writer, node, operands: writer.put("Cast", *operands, to=KINDS[node.attrs["dtype"]]),
}


def unknown_ops(graph: Graph) -> list[str]:
    """The ops of a graph that have no row here."""
    known = {*LEAVES, "size", *ALIKE, *REDUCTIONS, *WRITTEN}
    return sorted({node.op for node in graph} - known)


def model(graph: Graph, arguments: Sequence[np.ndarray]) -> bytes:
    """The graph for inputs of these shapes, as an ONNX file has it."""
    return Writer(graph, [one.shape for one in arguments]).model()
