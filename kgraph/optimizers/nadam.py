"""Adam with Nesterov's look ahead."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Unpack

from kgraph import config, ops
from kgraph.optimizers.adam import move_averages, power
from kgraph.optimizers.base import Common, Optimizer, takes_common
from kgraph.tracing.variable import Variable


class Nadam(Optimizer):
    """Adam whose step already contains the next momentum (Dozat, 2015).

    With u(t) = beta_1 * (1 - 0.96**t / 2) and U(t) = u(1) * ... * u(t) the step is learning_rate / (sqrt(v') + epsilon)
    times u(t+1) * m / (1 - U(t+1)) + (1 - u(t)) * g / (1 - U(t)), where v' = v / (1 - beta_2**t). `Optimizer` has the
    other arguments.
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
            weights = self._trainable_variables
            self._momentums, self._velocities = self.add_optimizer_variables(weights, ["momentum", "velocity"])
            self._u_product = self.add_variable(
                (), "ones", weights[0].dtype if weights else config.floatx(), name="u_product"
            )

    def update_steps(self, grads: list[Any], variables: list[Variable], learning_rate: Any) -> None:
        self.assign(self._u_product, self._u_product * self._u(self.step(self._u_product.dtype)))
        super().update_steps(grads, variables, learning_rate)

    def update_step(self, gradient: Any, variable: Variable, learning_rate: Any) -> None:
        index, gradient = self._get_variable_index(variable), ops.cast(gradient, variable.dtype)
        m, v = self._momentums[index], self._velocities[index]
        move_averages(self, m, v, gradient, *(ops.cast(beta, variable.dtype) for beta in (self.beta_1, self.beta_2)))
        of_m, of_gradient, of_v = self.once(self._factors, learning_rate, variable.dtype)
        self.assign_sub(variable, (m * of_m + gradient * of_gradient) / (ops.sqrt(v * of_v) + self.epsilon))

    def _u(self, step: Any) -> Any:
        return self.beta_1 * (1.0 - 0.5 * power(0.96, step))

    def _factors(self, learning_rate: Any, dtype: str) -> tuple[Any, Any, Any]:
        """What m, the gradient and v are multiplied by, the learning rate included."""
        rate, step = ops.cast(learning_rate, dtype), self.step(dtype)
        now, following = self._u(step), self._u(step + 1.0)
        product = ops.cast(self._u_product, dtype)
        of_m = rate * following / (1.0 - product * following)
        return of_m, rate * (1.0 - now) / (1.0 - product), 1.0 / (1.0 - power(self.beta_2, step))
