"""Adam in steps of the weights' own size, for large batches."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Unpack

from kgraph import ops
from kgraph.optimizers.adam import move_averages, power
from kgraph.optimizers.base import Common, Optimizer, takes_common
from kgraph.optimizers.gradients import norm
from kgraph.tracing.variable import Variable


class Lamb(Optimizer):
    """Adam's direction, scaled for each weight to learning_rate times the weight's norm (You et al., 2019).

    A weight or a direction of norm 0 is not scaled. `Optimizer` has the other arguments.
    """

    settings = ("beta_1", "beta_2", "epsilon")

    @takes_common
    def __init__(
        self,
        learning_rate: Any = 0.001,
        beta_1: float = 0.9,
        beta_2: float = 0.999,
        epsilon: float = 1e-7,
        *common: Any,
        **named: Unpack[Common],
    ) -> None:
        super().__init__(learning_rate, *common, **named)
        self.beta_1, self.beta_2, self.epsilon = beta_1, beta_2, epsilon

    def build(self, variables: Iterable[Variable]) -> None:
        if not self.built:
            super().build(variables)
            self._momentums, self._velocities = self.add_optimizer_variables(
                self._trainable_variables, ["momentum", "velocity"]
            )

    def update_step(self, gradient: Any, variable: Variable, learning_rate: Any) -> None:
        index, gradient = self._get_variable_index(variable), ops.cast(gradient, variable.dtype)
        m, v = self._momentums[index], self._velocities[index]
        move_averages(self, m, v, gradient, self.beta_1, self.beta_2)
        of_m, of_v = self.once(self._corrections, variable.dtype)
        direction = m * of_m / (ops.sqrt(v * of_v) + self.epsilon)
        size, length = norm(variable), norm(direction)
        both = ops.logical_and(size > 0, length > 0)
        ratio = ops.where(both, size / ops.where(both, length, 1.0), 1.0)
        self.assign_sub(variable, direction * (ratio * self.once(ops.cast, learning_rate, variable.dtype)))

    def _corrections(self, dtype: str) -> tuple[Any, Any]:
        """What the averages are multiplied by, since they started at 0."""
        step = self.step(dtype)
        return 1.0 / (1.0 - power(self.beta_1, step)), 1.0 / (1.0 - power(self.beta_2, step))
