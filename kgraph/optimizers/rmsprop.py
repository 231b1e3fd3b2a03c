"""Steps divided by the recent size of the gradient."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Unpack

from kgraph import ops
from kgraph.optimizers.base import Common, Optimizer, takes_common
from kgraph.tracing.variable import Variable


class RMSprop(Optimizer):
    """learning_rate * g / sqrt(velocity + epsilon), where velocity averages g² with rho (Tieleman and Hinton, 2012).

    centered subtracts the square of g's own average from the velocity; momentum > 0 adds up the steps. `Optimizer` has
    the other arguments.
    """

    settings = ("rho", "momentum", "epsilon", "centered")

    @takes_common
    def __init__(
        self,
        learning_rate: Any = 0.001,
        rho: float = 0.9,
        momentum: float = 0.0,
        epsilon: float = 1e-7,
        centered: bool = False,
        *common: Any,
        **named: Unpack[Common],
    ) -> None:
        super().__init__(learning_rate, *common, **named)
        self.rho, self.momentum, self.epsilon, self.centered = rho, momentum, epsilon, centered

    def build(self, variables: Iterable[Variable]) -> None:
        if not self.built:
            super().build(variables)
            weights = self._trainable_variables
            self._velocities = self.add_optimizer_variables(weights, "velocity")
            self._momentums = self.add_optimizer_variables(weights if self.momentum > 0 else [], "momentum")
            self._average_gradients = self.add_optimizer_variables(weights if self.centered else [], "average_gradient")

    def update_step(self, gradient: Any, variable: Variable, learning_rate: Any) -> None:
        index, gradient = self._get_variable_index(variable), ops.cast(gradient, variable.dtype)
        velocity = self._velocities[index]
        self.assign(velocity, velocity * self.rho + ops.square(gradient) * (1.0 - self.rho))
        denominator = velocity + self.epsilon
        if self.centered:
            average = self._average_gradients[index]
            self.assign(average, average * self.rho + gradient * (1.0 - self.rho))
            denominator = velocity - ops.square(average) + self.epsilon
        step = gradient * self.once(ops.cast, learning_rate, variable.dtype) / ops.sqrt(denominator)
        if self.momentum > 0:
            momentum = self._momentums[index]
            self.assign(momentum, momentum * self.momentum + step)
            step = momentum
        self.assign_sub(variable, step)
