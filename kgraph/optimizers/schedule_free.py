"""Adam with an average of the weights in the place of a schedule."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Unpack

from kgraph import ops
from kgraph.optimizers.adam import power
from kgraph.optimizers.base import Common, Optimizer, takes_common
from kgraph.tracing.variable import Variable


class ScheduleFreeAdamW(Optimizer):
    """Gradients are taken between fast weights z and their average x (Defazio et al., 2024).

    z takes Adam's steps without momentum, x is the mean of all z, and the weights are (1 - beta_1) * z + beta_1 * x. In
    the first warmup_steps the learning rate rises in a line. `Optimizer` has the other arguments.
    """

    settings = ("beta_1", "beta_2", "epsilon", "warmup_steps")

    @takes_common
    def __init__(
        self,
        learning_rate: Any = 0.0025,
        beta_1: float = 0.9,
        beta_2: float = 0.999,
        epsilon: float = 1e-8,
        warmup_steps: int = 0,
        *common: Any,
        **named: Unpack[Common],
    ) -> None:
        super().__init__(learning_rate, *common, **named)
        self.beta_1, self.beta_2, self.epsilon, self.warmup_steps = beta_1, beta_2, epsilon, warmup_steps

    def build(self, variables: Iterable[Variable]) -> None:
        if not self.built:
            super().build(variables)
            weights = self._trainable_variables
            self._momentums, self._velocities = self.add_optimizer_variables(weights, ["momentum", "velocity"])
            for fast, variable in zip(self._momentums, weights, strict=True):
                fast.write(variable.numpy())

    def update_step(self, gradient: Any, variable: Variable, learning_rate: Any) -> None:
        index, gradient = self._get_variable_index(variable), ops.cast(gradient, variable.dtype)
        fast, v = self._momentums[index], self._velocities[index]
        rate, of_v, of_fast, of_average = self.once(self._factors, learning_rate, variable.dtype)
        average = variable - fast * (1.0 - ops.cast(self.beta_1, variable.dtype))  # times beta_1
        self.assign_add(v, (ops.square(gradient) - v) * (1.0 - ops.cast(self.beta_2, variable.dtype)))
        self.assign_sub(fast, gradient * rate / (ops.sqrt(v * of_v) + self.epsilon))
        self.assign(variable, fast * of_fast + average * of_average)

    def _factors(self, learning_rate: Any, dtype: str) -> tuple[Any, Any, Any, Any]:
        """The warmed up learning rate, and what v, the new fast weights and the old average are multiplied by."""
        rate, step = ops.cast(learning_rate, dtype), self.step(dtype)
        if self.warmup_steps > 0:
            rate = rate * ops.minimum(step / self.warmup_steps, 1.0)
        share = 1.0 / step
        return rate, 1.0 / (1.0 - power(self.beta_2, step)), (1.0 - self.beta_1) + self.beta_1 * share, 1.0 - share
