"""Functional models as configurations, in the form of Keras's files."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from typing import Any

from kgraph import tree
from kgraph.errors import KGraphError, SavingError
from kgraph.layers.calls import Call
from kgraph.layers.layer import Layer
from kgraph.layers.operation import Operation
from kgraph.models.steps import Step, find_steps, operations_in_order, root
from kgraph.registry import CustomObjectScope
from kgraph.saving.objects import made, object_of, serialize_keras_object
from kgraph.saving.operations import ALIASES, is_operation, operation_config, run_operation
from kgraph.tracing.trace import Symbol

PARTS = ("layers", "input_layers", "output_layers")


class Writer:
    """What leads from a model's inputs to its outputs, as entries that refer to each other by name and number."""

    def __init__(self, model: Any) -> None:
        self.model = model
        steps = find_steps(model.inputs, model.outputs, as_written=True)
        self.operations = operations_in_order(steps, model.inputs)
        calls = {id(step.symbol.call) for step in steps if step.layer is not None}
        calls |= {id(symbol.call) for symbol in model.inputs if symbol.op == "input"}
        self.calls = {id(one): made_calls(one, calls) for one in self.operations if isinstance(one, Operation)}
        self.names = {id(one): one.name for one in self.operations if isinstance(one, Operation)}
        for one in self.operations:
            if isinstance(one, Step):
                name = one.symbol.applied.name if one.symbol.applied else one.symbol.op
                self.names[id(one)] = self._free(ALIASES.get(name, name))
        self.places = {id(one.symbol.applied): self.names[id(one)] for one in self.operations if isinstance(one, Step)}
        inside = [symbol for symbol in model.inputs if symbol.op != "input"]  # results of layers that stay outside
        self.entries = {symbol.serial: self._free(symbol.name) for symbol in inside}

    def _free(self, wanted: str) -> str:
        """A name that no layer has yet."""
        taken = {*self.names.values(), *getattr(self, "entries", {}).values()}
        names = (wanted if number == 0 else f"{wanted}_{number}" for number in range(len(taken) + 1))
        return next(name for name in names if name not in taken)

    def config(self) -> dict[str, Any]:
        """The configuration of the model."""
        heads = [self._entry(symbol) for symbol in self.model.inputs if symbol.serial in self.entries]
        return {
            "name": self.model.name,
            "trainable": self.model.trainable,
            "layers": heads + [self._operation(one) for one in self.operations],
            "input_layers": tree.map_structure(self._end, self.model.input),
            "output_layers": tree.map_structure(self._end, self.model.output),
        }

    def _entry(self, symbol: Symbol) -> dict[str, Any]:
        """An input layer for a tensor that the model takes from the middle of another definition."""
        name = self.entries[symbol.serial]
        config = {"batch_shape": [*symbol.shape], "dtype": symbol.dtype, "name": name}
        kind = {"module": "keras.layers", "class_name": "InputLayer", "config": config, "registered_name": None}
        return {**kind, "name": name, "inbound_nodes": []}

    def _operation(self, one: Operation | Step) -> dict[str, Any]:
        if isinstance(one, Operation):
            nodes = [self._node(call) for call in self.calls[id(one)] if call.inputs]
            return {**serialize_keras_object(one), "name": one.name, "inbound_nodes": nodes}
        if one.symbol.applied is None:
            what = "a variable" if one.symbol.op == "param" else f"the op {one.symbol.op!r}"
            raise SavingError(
                f"model {self.model.name!r} uses {what} between its layers, which no configuration can hold; "
                "use it inside of a layer"
            )
        return operation_config(one.symbol.applied, self.names[id(one)], self._referred)

    def _node(self, call: Call) -> dict[str, Any]:
        return {"args": self._referred(list(call.args)), "kwargs": self._referred(dict(call.kwargs))}

    def _referred(self, nest: Any) -> Any:
        """A nest of arguments with tensors described by where they come from."""
        if isinstance(nest, (list, tuple)):
            return [self._referred(one) for one in nest]
        if isinstance(nest, dict):
            return {key: self._referred(one) for key, one in nest.items()}
        if not isinstance(nest, Symbol):
            return serialize_keras_object(nest)
        described = {"shape": [*nest.shape], "dtype": nest.dtype, "keras_history": self.place(nest)}
        return {"class_name": "__keras_tensor__", "config": described}

    def place(self, symbol: Symbol) -> list[Any]:
        """Name, number of the call, and position among its results."""
        if symbol.serial in self.entries:
            return [self.entries[symbol.serial], 0, 0]
        if symbol.applied is not None:
            return [self.places[id(symbol.applied)], 0, position(symbol, symbol.applied.results)]
        call = root(symbol).call
        if call is None:
            raise SavingError(f"the tensor {symbol.name!r} comes from no layer, so no configuration can refer to it")
        number = next(i for i, one in enumerate(self.calls[id(call.layer)]) if one is call)
        return [call.layer.name, number, position(symbol, tree.flatten(call.outputs))]

    def _end(self, symbol: Symbol) -> list[Any]:
        """The place of an input or output. Keras counts the definition of a functional model as a call of it."""
        name, number, index = self.place(symbol)
        layer = root(symbol).call.layer if symbol.applied is None and symbol.serial not in self.entries else None
        return [name, number + counts_itself(layer), index]


def made_calls(layer: Operation, wanted: set[int]) -> list[Call]:
    """Those calls of a layer that belong to a model, in their order."""
    return [call for call in layer.inbound_nodes if id(call) in wanted]


def position(symbol: Symbol, results: list[Any]) -> int:
    """Which of the results it is."""
    return next(index for index, one in enumerate(results) if one is not None and one.serial == symbol.serial)


def counts_itself(layer: Any) -> int:
    """1 for a functional model, whose calls Keras counts from 1 on at a model's ends."""
    return int(isinstance(layer, Layer) and hasattr(layer, "_nested_outputs"))


class Later(Exception):
    """A tensor that a call reads is not there yet: another call comes first."""


class Reader:
    """Makes the layers of a configuration, and their calls as soon as what they read is there."""

    def __init__(self, entries: Any) -> None:
        if not isinstance(entries, list) or not all(isinstance(entry, dict) for entry in entries):
            raise SavingError(f"the layers of a functional model are a list of configurations, not {entries!r:.60}")
        self.things: dict[str, Any] = {}
        self.results: dict[str, list[list[Any]]] = {}
        self.waiting: list[tuple[str, Any]] = []
        for entry in entries:
            self._add(entry)
        while self.waiting:
            left = [one for one in self.waiting if not self._call(*one)]
            if len(left) == len(self.waiting):
                names = ", ".join(dict.fromkeys(name for name, _ in left))
                raise SavingError(f"the calls of {names} wait for each other, or for tensors that nothing makes")
            self.waiting = left

    def _add(self, entry: dict[str, Any]) -> None:
        name, nodes = entry.get("name"), entry.get("inbound_nodes")
        if not isinstance(name, str) or not isinstance(nodes, list) or name in self.things:
            raise SavingError(f"a layer of a functional model has a name of its own and inbound_nodes: {entry!r:.100}")
        if is_operation(entry):
            thing: Any = entry
        else:
            thing = object_of(str(entry.get("class_name")), {"config": {}, **entry}, build=False)
            if not isinstance(thing, Operation):
                raise SavingError(f"{name!r} is a {type(thing).__name__}, and no layer or operation")
        self.things[name] = thing
        self.results[name] = [[thing.output]] if getattr(thing, "batch_shape", None) is not None else []
        self.waiting += [(name, node) for node in nodes]

    def _call(self, name: str, node: Any) -> bool:
        """Make one call; False if it has to wait."""
        try:
            args, kwargs = self._arguments(node)
        except Later:
            return False
        thing = self.things[name]
        if not any(isinstance(leaf, Symbol) for leaf in tree.flatten([args, kwargs])):
            raise SavingError(f"{name!r} is called on no tensor of the model")
        try:
            result = run_operation(thing, args, kwargs) if isinstance(thing, dict) else thing(*args, **kwargs)
        except KGraphError:
            raise
        except (TypeError, ValueError, KeyError, AttributeError, IndexError) as error:
            raise SavingError(f"{name!r} cannot be called as the configuration says: {error}") from error
        self.results[name].append(tree.flatten(result))
        return True

    def _arguments(self, node: Any) -> tuple[list[Any], dict[str, Any]]:
        if isinstance(node, list):  # of Keras 2: [[name, call, index, kwargs], ...]
            tensors = [self.tensor(place[:3]) for place in node if isinstance(place, list)]
            kwargs = made(node[0][3]) if node and len(node[0]) > 3 else {}
            return [tensors[0] if len(tensors) == 1 else tensors], kwargs
        if not isinstance(node, dict):
            raise SavingError(f"a call is described by its args and kwargs, not by {node!r:.60}")
        args, kwargs = (made(node.get(part), self._history) for part in ("args", "kwargs"))
        return list(args or ()), dict(kwargs or {})

    def _history(self, described: Any) -> Any:
        if not isinstance(described, dict) or described.get("keras_history") is None:
            raise SavingError(f"a tensor of a call says where it comes from, which this does not: {described!r:.80}")
        return self.tensor(described["keras_history"])

    def tensor(self, place: Any, at_end: bool = False) -> Any:
        """The tensor at a place: name, number of the call, position among its results."""
        if not (is_place(place) and place[0] in self.things):
            raise SavingError(f"{place!r:.80} is no place of a tensor in the model")
        name, number, index = place
        results = self.results[name]
        number -= counts_itself(self.things[name]) if at_end else 0
        if 0 <= number < len(results) and 0 <= index < len(results[number]):
            return results[number][index]
        if at_end or 0 <= number < len(results):
            raise SavingError(f"{name!r} has no result {index} of a call {number}")
        raise Later

    def ends(self, nest: Any) -> Any:
        """The nest of inputs or of outputs."""
        if is_place(nest):
            return self.tensor(nest, at_end=True)
        if isinstance(nest, dict):
            return {key: self.ends(one) for key, one in nest.items()}
        if not isinstance(nest, (list, tuple)):
            raise SavingError(f"{nest!r:.80} is no nest of places of tensors")
        return [self.ends(one) for one in nest]


def is_place(value: Any) -> bool:
    """Whether it is [name, number, number]."""
    if not isinstance(value, (list, tuple)) or len(value) != 3:
        return False
    return isinstance(value[0], str) and all(isinstance(n, int) and not isinstance(n, bool) for n in value[1:])


def is_functional_config(config: Mapping[str, Any]) -> bool:
    """Whether it describes a model by its inputs and outputs."""
    return all(part in config for part in PARTS)


def takes_inputs_and_outputs(cls: type) -> bool:
    """Whether the constructor is that of a functional model."""
    parameters = list(inspect.signature(cls.__init__).parameters.values())[1:]  # type: ignore[misc]
    kinds = {parameter.kind for parameter in parameters}
    if kinds == {inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD}:
        return True
    return [parameter.name for parameter in parameters[:2]] == ["inputs", "outputs"]


def model_from_parts(cls: Any, config: Mapping[str, Any], custom_objects: Mapping[str, Any] | None) -> Any:
    """The functional model that `Writer.config` described, of class `cls`."""
    with CustomObjectScope(custom_objects):
        reader = Reader(config["layers"])
    rest = {key: value for key, value in config.items() if key not in (*PARTS, "trainable", "dtype")}
    inputs, outputs = reader.ends(config["input_layers"]), reader.ends(config["output_layers"])
    model = cls(inputs=inputs, outputs=outputs, **rest)
    object.__setattr__(model, "_trainable", config.get("trainable") is not False)  # layers say it for themselves
    return model
