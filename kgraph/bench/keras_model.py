"""A model of kgraph rebuilt in Keras: the same layers from their configurations, with the same weights."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import repeat
from typing import Any

import jax
import jax.numpy as jnp
import keras
import numpy as np

from kgraph.bench.adam import DECAYS, EPSILON, RATE
from kgraph.bench.calls import single
from kgraph.graph.ir import Graph, Node

# How an op between layers is called in keras.ops, where its attributes go by other names.
ATTRIBUTES: dict[str, Callable[[Any], dict[str, Any]]] = {
    "softmax": lambda attrs: {"axis": attrs["axes"][0] if len(attrs["axes"]) == 1 else attrs["axes"]},
    "log_softmax": lambda attrs: {"axis": attrs["axes"][0] if len(attrs["axes"]) == 1 else attrs["axes"]},
    "transpose": lambda attrs: {"axes": attrs["axes"]},
    **{
        name: lambda attrs: {"axis": attrs["axes"], "keepdims": attrs["keepdims"]}
        for name in ("sum", "prod", "max", "min", "any", "all")
    },
}
PLAIN = frozenset((
    "add", "subtract", "multiply", "divide", "power", "maximum", "minimum", "where", "negative", "absolute", "square",
    "sqrt", "rsqrt", "reciprocal", "exp", "log", "log1p", "expm1", "sin", "cos", "tanh", "sigmoid", "softplus", "relu",
    "erf", "equal", "less", "greater",
))  # fmt: skip


class Unknown(Exception):
    """A part of a model that Keras is not told how to build."""


class Rebuilt:
    """A model in Keras, and which of its weights is which of ours."""

    def __init__(self, model: Any, graph: Graph) -> None:
        self.layers = {layer.name: layer for layer in model.layers}
        self.made: dict[str, Any] = {}
        values: dict[str, Any] = {}
        for node in graph:
            values[node.name] = self._value(graph, node, values)
        inputs = [values[name] for name in graph.inputs]
        self.model = keras.Model(inputs, [values[name] for name in graph.outputs])
        self.index: dict[int, int] = {}
        trainable = [id(one) for one in self.model.trainable_variables]
        for name, layer in self.made.items():
            layer.set_weights([np.asarray(one) for one in self.layers[name].get_weights()])
            pairs = zip(self.layers[name].trainable_variables, layer.trainable_variables, strict=True)
            self.index.update((id(ours), trainable.index(id(theirs))) for ours, theirs in pairs)

    def _value(self, graph: Graph, node: Node, values: dict[str, Any]) -> Any:
        arguments = [values[name] for name in graph.arguments(node.name)]
        if node.op == "input":
            return keras.Input([size if isinstance(size, int) else None for size in node.tensor.shape[1:]],
                               dtype=node.tensor.dtype, name=node.name)  # fmt: skip
        if node.op == "param":
            return None  # a layer has its own
        if node.op == "const":
            return node.attrs["value"]
        if node.op == "item":
            return arguments[0] if node.attrs["index"] == 0 else None  # the others are new values of state
        if node.body is not None:
            return self._layer(node)([one for one in arguments if one is not None])
        if any(one is None for one in arguments):
            raise Unknown(f"{node.name}, which reads a weight outside of a layer")
        return self._op(node, arguments)

    def _layer(self, node: Node) -> Callable[[list[Any]], Any]:
        name = node.name.partition("#")[0]
        kind = getattr(keras.layers, node.op, None)
        if kind is None or name not in self.layers:
            raise Unknown(f"{node.name}, a {node.op}")
        if name not in self.made:
            self.made[name] = kind.from_config(self.layers[name].get_config())
        layer = self.made[name]
        if node.op == "MultiHeadAttention":
            return lambda arguments: layer(*arguments)
        return lambda arguments: layer(arguments[0] if len(arguments) == 1 else arguments)

    def _op(self, node: Node, arguments: list[Any]) -> Any:
        if node.op == "einsum":
            return keras.ops.einsum(node.attrs["spec"], *arguments)
        if node.op in ATTRIBUTES:
            return getattr(keras.ops, node.op)(*arguments, **ATTRIBUTES[node.op](node.attrs))
        if node.op in PLAIN and not node.attrs:
            return getattr(keras.ops, node.op)(*arguments)
        raise Unknown(f"{node.name}, a {node.op} between layers")


def forward(rebuilt: Rebuilt, inputs: Sequence[np.ndarray]) -> dict[str, Callable[[], Any]]:
    """The two ways of a user to call a model: predict_on_batch on arrays, and the model itself."""
    arrays = inputs[0] if len(inputs) == 1 else list(inputs)
    tensors = [jnp.asarray(one) for one in inputs]
    given = tensors[0] if len(tensors) == 1 else tensors

    def called() -> Any:
        return jax.block_until_ready(rebuilt.model(given))

    return {"predict_on_batch": lambda: rebuilt.model.predict_on_batch(arrays), "model(x)": called}


def gradient(
    rebuilt: Rebuilt, inputs: Sequence[np.ndarray], targets: Sequence[np.ndarray], weights: Sequence[Any], loss: str
) -> tuple[Callable[[], Any], Callable[[Any], list[np.ndarray]]]:
    """jax.value_and_grad of stateless_call and the loss under jit, and how to read the result."""
    measure = keras.losses.get(loss)
    given = [jnp.asarray(one) for one in inputs]
    aims = [jnp.asarray(one) for one in targets]
    trainable = [one.value for one in rebuilt.model.trainable_variables]
    others = [one.value for one in rebuilt.model.non_trainable_variables]

    def total(weights: Any, state: Any, x: Any, y: Any) -> Any:
        outputs, state = rebuilt.model.stateless_call(weights, state, x[0] if len(x) == 1 else x, training=True)
        outputs = outputs if isinstance(outputs, (list, tuple)) else [outputs]
        return sum(keras.ops.mean(measure(aim, one)) for aim, one in zip(y, outputs, strict=True)), state

    compiled = jax.jit(jax.value_and_grad(total, has_aux=True))

    def call() -> Any:
        return jax.block_until_ready(compiled(trainable, others, given, aims))

    def flat(found: Any) -> list[np.ndarray]:
        (value, _), gradients = found
        return [np.asarray(value), *(np.asarray(gradients[rebuilt.index[id(one)]]) for one in weights)]

    return call, flat


def step(
    rebuilt: Rebuilt, inputs: Sequence[np.ndarray], targets: Sequence[np.ndarray], weights: Sequence[Any], loss: str
) -> tuple[Callable[[], Any], Callable[[Any], list[Any]]]:
    """The train step of a compiled model as `fit` runs it between two callbacks, on arrays that are jax's already.

    And how to read the loss and the weights after it.
    """
    model = rebuilt.model
    model.compile(keras.optimizers.Adam(RATE, *DECAYS, epsilon=EPSILON), loss)
    model.optimizer.build(model.trainable_variables)
    model._symbolic_build(data_batch=(single(inputs), single(targets)))  # what fit does first: it makes the metrics
    given = single([jnp.asarray(one) for one in inputs]), single([jnp.asarray(one) for one in targets])
    model.make_train_function()
    state = jax.tree.map(
        lambda one: jnp.array(one, copy=True),  # the step takes the memory of its state
        tuple(
            [one.value for one in variables]
            for variables in (
                model.trainable_variables,
                model.non_trainable_variables,
                model.optimizer.variables,
                model.metrics_variables,
            )
        ),
    )

    def call() -> Any:
        nonlocal state
        logs, state = jax.block_until_ready(model.train_function(state, repeat(given)))
        return logs, state[0]

    def read(found: Any) -> list[Any]:
        logs, values = found
        return [logs["loss"], *(values[rebuilt.index[id(one)]] for one in weights)]

    return call, read
