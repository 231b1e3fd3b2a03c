"""Steps of moving averages, divided by the recent size of the gradient: Adam and its kin."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Unpack

from kgraph import ops
from kgraph.errors import ArgumentError
from kgraph.optimizers.base import Common, Optimizer, takes_common
from kgraph.tracing.variable import Variable


class Adam(Optimizer):
    """alpha * m / (sqrt(v) + epsilon), where m and v average g and g² with beta_1 and beta_2 (Kingma and Ba, 2014).

    alpha = learning_rate * sqrt(1 - beta_2**t) / (1 - beta_1**t) corrects the averages, which start at 0. amsgrad
    divides by the largest v so far (Reddi et al., 2018). `Optimizer` has the other arguments.
    """

    settings = ("beta_1", "beta_2", "epsilon", "amsgrad")

    @takes_common
    def __init__(
        self,
        learning_rate: Any = 0.001,
        beta_1: float = 0.9,
        beta_2: float = 0.999,
        epsilon: float = 1e-7,
        amsgrad: bool = False,
        *common: Any,
        **named: Unpack[Common],
    ) -> None:
        super().__init__(learning_rate, *common, **named)
        self.beta_1, self.beta_2, self.epsilon, self.amsgrad = beta_1, beta_2, epsilon, amsgrad

    def build(self, variables: Iterable[Variable]) -> None:
        if not self.built:
            super().build(variables)
            weights = self._trainable_variables
            self._momentums, self._velocities = self.add_optimizer_variables(weights, ["momentum", "velocity"])
            self._velocity_hats = self.add_optimizer_variables(weights if self.amsgrad else [], "velocity_hat")

    def update_step(self, gradient: Any, variable: Variable, learning_rate: Any) -> None:
        index, gradient = self._get_variable_index(variable), ops.cast(gradient, variable.dtype)
        m, v = self._momentums[index], self._velocities[index]
        move_averages(self, m, v, gradient, self.beta_1, self.beta_2)
        if self.amsgrad:
            largest = self._velocity_hats[index]
            self.assign(largest, ops.maximum(largest, v))
            v = largest
        alpha = self.once(self._alpha, learning_rate, variable.dtype)
        self.assign_sub(variable, m * alpha / (ops.sqrt(v) + self.epsilon))

    def _alpha(self, learning_rate: Any, dtype: str) -> Any:
        return corrected_rate(learning_rate, self.beta_1, self.beta_2, self.step(dtype))


class AdamW(Adam):
    """Adam with weight decay beside the gradient (Loshchilov and Hutter, 2017): 0.004 of the learning rate.

    Raises ArgumentError if weight_decay is None.
    """

    @takes_common
    def __init__(
        self,
        learning_rate: Any = 0.001,
        weight_decay: float = 0.004,
        beta_1: float = 0.9,
        beta_2: float = 0.999,
        epsilon: float = 1e-7,
        amsgrad: bool = False,
        *common: Any,
        **named: Any,
    ) -> None:
        if weight_decay is None:
            raise ArgumentError("AdamW needs a weight_decay, a number; without decay it is Adam")
        super().__init__(learning_rate, beta_1, beta_2, epsilon, amsgrad, weight_decay, *common, **named)


def move_averages(owner: Optimizer, m: Variable, v: Variable, gradient: Any, beta_1: Any, beta_2: Any) -> None:
    """Take a gradient into the averages of gradients and of their squares."""
    owner.assign_add(m, (gradient - m) * (1.0 - beta_1))
    owner.assign_add(v, (ops.square(gradient) - v) * (1.0 - beta_2))


def power(base: float, exponent: Any) -> Any:
    """base ** exponent, in the dtype of the exponent: a count of steps."""
    return ops.power(ops.cast(base, exponent.dtype), exponent)


def corrected_rate(learning_rate: Any, beta_1: float, beta_2: float, step: Any) -> Any:
    """The learning rate for averages that started at 0 and have taken in so many gradients."""
    rate = ops.cast(learning_rate, step.dtype)
    return rate * ops.sqrt(1.0 - power(beta_2, step)) / (1.0 - power(beta_1, step))
