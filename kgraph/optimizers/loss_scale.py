"""A factor on the loss that keeps small gradients from becoming 0 in float16, found while training."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Self

from kgraph import ops
from kgraph.errors import ArgumentError
from kgraph.initializers import Constant
from kgraph.optimizers.base import Common, Optimizer
from kgraph.optimizers.lookup import NAMES, resolve, serialize
from kgraph.optimizers.multi import MultiOptimizer
from kgraph.optimizers.state import changed_only_if
from kgraph.tracing.variable import Variable


class LossScaleOptimizer(Optimizer):
    """Another optimizer, on gradients of the loss times a scale that starts at initial_scale.

    After dynamic_growth_steps steps with finite gradients the scale doubles; a step whose gradients are not all finite
    halves it, and changes nothing else.

    Raises ArgumentError for other arguments, which belong to the inner optimizer.
    """

    def __init__(
        self,
        inner_optimizer: Optimizer,
        initial_scale: float = 2.0**15,
        dynamic_growth_steps: int = 2000,
        name: str | None = None,
        **others: Any,
    ) -> None:
        super().__init__(0.0, name=name)
        if not others.pop("dynamic", True):
            raise ArgumentError("for a scale that stays, set loss_scale_factor of the inner optimizer")
        defaults = {name: getattr(self, name) for name in Common.__annotations__}
        wrong = [key for key, value in others.items() if key not in defaults or value != defaults[key]]
        if wrong:
            raise ArgumentError(
                f"LossScaleOptimizer does not take {', '.join(wrong)}; give them to the inner optimizer"
            )
        if not isinstance(inner_optimizer, Optimizer):
            raise ArgumentError(f"inner_optimizer is {inner_optimizer!r:.60}, which is no Optimizer")
        self.inner_optimizer = inner_optimizer
        self.initial_scale, self.dynamic_growth_steps = initial_scale, dynamic_growth_steps
        self.inner_optimizer.loss_scale_factor = None  # gradients are not to be unscaled twice
        self.step_counter = self.add_variable((), dtype="int", name="step_counter")
        self.dynamic_scale = self.add_variable((), Constant(initial_scale), "float32", name="dynamic_scale")

    def build(self, variables: Iterable[Variable]) -> None:
        if not self.built:
            super().build(variables)
            self.inner_optimizer.build(self._trainable_variables)

    @property
    def variables(self) -> list[Variable]:
        """The counts of steps, an unused learning rate and the scale, then the variables of the inner optimizer."""
        return [*self._variables, *self.inner_optimizer.variables]

    @property
    def learning_rate(self) -> Any:
        """The inner optimizer's."""
        return self.inner_optimizer.learning_rate

    @learning_rate.setter
    def learning_rate(self, learning_rate: Any) -> None:
        self.inner_optimizer.learning_rate = learning_rate

    @property
    def iterations(self) -> Any:
        """The updates of the inner optimizer, without those left out."""
        return self.inner_optimizer.iterations

    def scale_loss(self, loss: Any) -> Any:
        """The loss times the scale of this step."""
        return loss * self.dynamic_scale

    def apply(self, grads: Iterable[Any], trainable_variables: Iterable[Variable] | None = None) -> None:
        """Let the inner optimizer update the weights if all gradients are finite; errors as in `Optimizer.apply`."""
        grads = list(grads)
        if not grads:
            return
        variables = self._variables_of(grads, trainable_variables)
        finite = self.check_finite(grads)
        inverse = 1.0 / self.dynamic_scale
        unscaled = [None if gradient is None else gradient * inverse for gradient in grads]
        with changed_only_if(finite, [*self._trainable_variables, *self.inner_optimizer.variables]):
            self.inner_optimizer.apply(unscaled, variables)
        grows = ops.logical_and(finite, ops.equal(self.step_counter, self.dynamic_growth_steps - 1))
        counts = ops.logical_and(finite, ops.logical_not(grows))
        factor = ops.where(finite, ops.where(grows, 2.0, 1.0), 0.5)
        self.step_counter.assign(ops.where(counts, self.step_counter + 1, 0))
        self.dynamic_scale.assign(self.dynamic_scale * factor)

    def check_finite(self, grads: Iterable[Any]) -> Any:
        """Whether all elements of all gradients are finite: a boolean scalar."""
        found = [ops.all(ops.isfinite(gradient)) for gradient in grads if gradient is not None]
        together = ops.convert_to_tensor(True)
        for one in found:
            together = ops.logical_and(together, one)
        return together

    def finalize_variable_values(self, var_list: Iterable[Variable]) -> None:
        self.inner_optimizer.finalize_variable_values(var_list)

    def get_config(self) -> dict[str, Any]:
        """The inner optimizer's config, and how the scale starts and grows."""
        return {
            "name": self.name,
            "inner_optimizer": serialize(self.inner_optimizer),
            "initial_scale": self.initial_scale,
            "dynamic_growth_steps": self.dynamic_growth_steps,
        }

    @classmethod
    def from_config(cls, config: dict[str, Any], custom_objects: dict[str, Any] | None = None) -> Self:
        """The optimizer that `get_config` described."""
        known = NAMES | {"MultiOptimizer": MultiOptimizer}
        inner = resolve(config["inner_optimizer"], custom_objects, known)
        return cls(**config | {"inner_optimizer": inner})
