"""Several optimizers, each for some of the weights."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, MutableMapping
from typing import Any, Self

from kgraph.errors import ArgumentError, DTypeError
from kgraph.named import find, to_config
from kgraph.optimizers.base import Optimizer
from kgraph.optimizers.gradients import present
from kgraph.optimizers.lookup import resolve, serialize
from kgraph.registry import CustomObjectScope
from kgraph.tracing.variable import Variable


class OptimizerMap(MutableMapping[str, Optimizer]):
    """Optimizers by the paths of weights, or by patterns that match whole paths; default_optimizer for all others.

    Raises DTypeError for what is no optimizer, and ArgumentError for a key that is taken, or an optimizer that holds
    others.
    """

    def __init__(self, default_optimizer: Optimizer, optimizer_map: Mapping[str, Optimizer] | None = None) -> None:
        self.default_optimizer = checked(default_optimizer)
        self._map: dict[str, Optimizer] = {}
        for key, optimizer in (optimizer_map or {}).items():
            self[key] = optimizer

    def __getitem__(self, key: str) -> Optimizer:
        if key in self._map:
            return self._map[key]
        matching = [pattern for pattern in self._map if re.fullmatch(pattern, key)]
        if len(matching) > 1:
            raise ArgumentError(f"{key} matches {len(matching)} patterns of the map: {', '.join(matching)}")
        return self._map[matching[0]] if matching else self.default_optimizer

    def __setitem__(self, key: str, optimizer: Optimizer) -> None:
        if not isinstance(key, str):
            raise ArgumentError(f"the keys of an OptimizerMap are paths or patterns, and {key!r:.60} is no string")
        if key in self._map:
            raise ArgumentError(f"the map has an optimizer for {key!r} already: {self._map[key].name}")
        self._map[key] = checked(optimizer)

    def __delitem__(self, key: str) -> None:
        del self._map[key]

    def __len__(self) -> int:
        return len(self._map)

    def __iter__(self) -> Iterator[str]:
        return iter(self._map)

    def __call__(self, variable: Variable) -> Optimizer:
        """The optimizer of a weight."""
        return self[variable.path]

    def get_config(self) -> dict[str, Any]:
        """The optimizers' configs, by key."""
        described = {key: serialize(optimizer) for key, optimizer in self._map.items()}
        return {"default_optimizer": serialize(self.default_optimizer), "optimizer_map": described}

    @classmethod
    def from_config(cls, config: dict[str, Any], custom_objects: dict[str, Any] | None = None) -> Self:
        """The map that `get_config` described."""
        optimizers = {key: resolve(one, custom_objects) for key, one in config["optimizer_map"].items()}
        return cls(resolve(config["default_optimizer"], custom_objects), optimizers)


class MultiOptimizer(Optimizer):
    """One optimizer for each weight, as an OptimizerMap, or a function of the variable, says.

    loss_scale_factor replaces that of every inner optimizer. There is no `learning_rate`: each of `optimizers` has its
    own.
    """

    def __init__(
        self,
        optimizer_map: Callable[[Variable], Optimizer],
        loss_scale_factor: float | None = None,
        name: str | None = None,
    ) -> None:
        super().__init__(0.0, loss_scale_factor=loss_scale_factor, name=name)
        self._optimizer_map = optimizer_map
        if isinstance(optimizer_map, OptimizerMap):
            for optimizer in (*optimizer_map.values(), optimizer_map.default_optimizer):
                self._take(optimizer)

    @property
    def optimizers(self) -> list[Optimizer]:
        """The inner optimizers, in the order in which their variables stand."""
        return self.__dict__.setdefault("_inner", [])

    def _take(self, optimizer: Optimizer) -> Optimizer:
        if all(optimizer is not one for one in self.optimizers):
            self.optimizers.append(checked(optimizer))
            optimizer.loss_scale_factor = self.loss_scale_factor
        return optimizer

    @property
    def variables(self) -> list[Variable]:
        """The count of steps and an unused learning rate, then the variables of each inner optimizer."""
        return [*self._variables, *(variable for optimizer in self.optimizers for variable in optimizer.variables)]

    @property
    def learning_rate(self) -> Any:
        raise AttributeError("a MultiOptimizer has no learning rate; ask each of its `optimizers`")

    @learning_rate.setter
    def learning_rate(self, learning_rate: Any) -> None:
        raise AttributeError("a MultiOptimizer has no learning rate; set it on each of its `optimizers`")

    @property
    def loss_scale_factor(self) -> float | None:
        """What the loss is multiplied by, for all inner optimizers."""
        return self._loss_scale_factor

    @loss_scale_factor.setter
    def loss_scale_factor(self, factor: float | None) -> None:
        self._loss_scale_factor = factor
        for optimizer in self.optimizers:
            optimizer.loss_scale_factor = factor

    def build(self, variables: Iterable[Variable]) -> None:
        if not self.built:
            super().build(variables)
            self._owners = {variable: self._take(self._optimizer_map(variable)) for variable in self._indices}
            for optimizer in self.optimizers:
                mine = [variable for variable, owner in self._owners.items() if owner is optimizer]
                if mine:
                    optimizer.build(mine)

    def apply(self, grads: Iterable[Any], trainable_variables: Iterable[Variable] | None = None) -> None:
        """Update the weights, each by its optimizer; arguments and errors as in `Optimizer.apply`."""
        grads = list(grads)
        if not grads:
            return
        pairs = present(grads, self._variables_of(grads, trainable_variables))
        for optimizer in self.optimizers:
            mine = [(gradient, variable) for gradient, variable in pairs if self._owners[variable] is optimizer]
            optimizer.apply_gradients(mine)
        self._iterations.assign_add(1)

    def finalize_variable_values(self, var_list: Iterable[Variable]) -> None:
        for variable in var_list:
            self._owners[variable].finalize_variable_values([variable])

    def get_config(self) -> dict[str, Any]:
        """The map with the configs of its optimizers, or the name of its function."""
        described = to_config(self._optimizer_map)
        return {"optimizer_map": described, "loss_scale_factor": self.loss_scale_factor, "name": self.name}

    @classmethod
    def from_config(cls, config: dict[str, Any], custom_objects: dict[str, Any] | None = None) -> Self:
        """The optimizer that `get_config` described."""
        with CustomObjectScope(custom_objects):
            chosen = find(config["optimizer_map"], {"OptimizerMap": OptimizerMap}, "map of optimizers")
        return cls(**config | {"optimizer_map": chosen})


def checked(optimizer: Any) -> Optimizer:
    """An optimizer that may be one of several; DTypeError or ArgumentError for anything else."""
    if not isinstance(optimizer, Optimizer):
        raise DTypeError(f"the optimizer of some weights is {optimizer!r:.60}, which is no Optimizer")
    if hasattr(optimizer, "inner_optimizer") or isinstance(optimizer, MultiOptimizer):
        raise ArgumentError(f"a {type(optimizer).__name__} cannot be one of several optimizers; wrap it around them")
    return optimizer
