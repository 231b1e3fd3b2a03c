"""Gradient descent, with momentum."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Unpack

from kgraph import ops
from kgraph.errors import ArgumentError
from kgraph.optimizers.base import Common, Optimizer, takes_common
from kgraph.tracing.variable import Variable


class SGD(Optimizer):
    """Weights go against the gradient: w - learning_rate * g, or by velocity = momentum * velocity - learning_rate * g.

    With nesterov the step looks ahead: momentum * velocity - learning_rate * g with the new velocity. `Optimizer` has
    the other arguments. Raises ArgumentError unless momentum is in [0, 1].
    """

    settings = ("momentum", "nesterov")

    @takes_common
    def __init__(
        self,
        learning_rate: Any = 0.01,
        momentum: float = 0.0,
        nesterov: bool = False,
        *common: Any,
        **named: Unpack[Common],
    ) -> None:
        super().__init__(learning_rate, *common, **named)
        if not 0 <= momentum <= 1:
            raise ArgumentError(f"momentum must lie in [0, 1], and is {momentum}")
        self.momentum, self.nesterov = momentum, nesterov

    def build(self, variables: Iterable[Variable]) -> None:
        if not self.built:
            super().build(variables)
            wanted = self._trainable_variables if self.momentum else []
            self.momentums = self.add_optimizer_variables(wanted, "momentum")

    def update_step(self, gradient: Any, variable: Variable, learning_rate: Any) -> None:
        step = ops.cast(gradient, variable.dtype) * self.once(ops.cast, learning_rate, variable.dtype)
        if not self.momentum:
            self.assign_sub(variable, step)
            return
        velocity = self.momentums[self._get_variable_index(variable)]
        self.assign(velocity, velocity * self.momentum - step)
        self.assign_add(variable, velocity * self.momentum - step if self.nesterov else velocity)
