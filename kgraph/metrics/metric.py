"""The base of all metrics: numbers that sum up what was seen so far, and a result made of them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Self

import numpy as np

from kgraph import config, dtype_policies, initializers
from kgraph.errors import SettingError, ShapeError
from kgraph.graph.types import numpy_dtype
from kgraph.layers.naming import automatic_name
from kgraph.layers.tracking import watched
from kgraph.tracing.stateless import StatelessScope, paired
from kgraph.tracing.trace import suspended
from kgraph.tracing.variable import Variable


class Metric:
    """State that `update_state` changes and `result` reads. Subclasses define both, on arrays and symbols alike.

    Outside a trace both compute at once; inside one, as in a compiled training step, they become part of its graph.
    So they are written with `kgraph.ops`, change state by `Variable.assign`, and do not branch on values of tensors.
    dtype: what the result is computed in, `config.floatx()` by default; of a policy, its compute dtype.
    """

    _direction: str | None = None  # "up" if more is better, "down" if less is

    def __init__(self, dtype: Any = None, name: str | None = None) -> None:
        self._variables: list[Variable] = []
        self._metrics: list[Metric] = []
        self.name = name or automatic_name(type(self).__name__)
        self._dtype_policy = dtype_policies.get(dtype or config.floatx())

    def __setattr__(self, name: str, value: Any) -> None:
        """A Variable or Metric put into an attribute, or into a list or dict there, belongs to the metric."""
        if name not in ("_variables", "_metrics") and "_metrics" in self.__dict__:
            value = watched(value, self._track)
        super().__setattr__(name, value)

    def _track(self, value: Any) -> None:
        place: list[Any] | None = None
        if isinstance(value, Variable):
            place = self._variables
        elif isinstance(value, Metric):
            place = self._metrics
        if place is not None and all(value is not one for one in place):
            place.append(value)

    @property
    def dtype(self) -> str:
        """What the result is computed in."""
        return self._dtype_policy.compute_dtype

    @property
    def variables(self) -> list[Variable]:
        """The state, and that of metrics it holds."""
        return [*self._variables, *(variable for metric in self._metrics for variable in metric.variables)]

    def add_variable(
        self,
        shape: Sequence[int],
        initializer: Any = "zeros",
        dtype: Any = None,
        aggregation: str = "sum",
        name: str | None = None,
    ) -> Variable:
        """A new variable of the state; dtype defaults to `config.floatx()`. aggregation has no effect."""
        if "_variables" not in self.__dict__:
            raise SettingError(f"{type(self).__name__}.__init__ must call super().__init__() before add_variable")
        with suspended():  # made with numbers, even when the first batch is a symbol
            variable = Variable(
                initializers.get("zeros" if initializer is None else initializer),
                tuple(shape),
                dtype,
                trainable=False,
                name=name,
            )
        variable.path = f"{self.name}/{variable.name}"
        self._track(variable)
        return variable

    def add_weight(
        self, shape: Sequence[int] = (), initializer: Any = None, dtype: Any = None, name: str | None = None
    ) -> Variable:
        """The old name of `add_variable`."""
        return self.add_variable(shape, initializer, dtype, name=name)

    def update_state(self, *args: Any, **kwargs: Any) -> Any:
        """Take in one batch; for subclasses to define."""
        raise NotImplementedError(f"{type(self).__name__} has no `update_state`")

    def result(self) -> Any:
        """The value for all batches so far: a tensor, or a dict of them; for subclasses to define."""
        raise NotImplementedError(f"{type(self).__name__} has no `result`")

    def reset_state(self) -> None:
        """Forget all batches."""
        for variable in self.variables:  # constants are made by numpy: every batch of `train_on_batch` begins here
            variable.assign(np.zeros(variable.shape, numpy_dtype(variable.dtype)))

    def stateless_update_state(self, metric_variables: Sequence[Any], *args: Any, **kwargs: Any) -> list[Any]:
        """`update_state` on values of `variables`; gives the new values and changes no variable.

        ArgumentError for a wrong number of values.
        """
        with StatelessScope(self._paired(metric_variables)) as scope:
            self.update_state(*args, **kwargs)
        return [scope.get_current_value(variable) for variable in self.variables]

    def stateless_result(self, metric_variables: Sequence[Any]) -> Any:
        """`result` for values of `variables`. ArgumentError for a wrong number of values."""
        with StatelessScope(self._paired(metric_variables)):
            return self.result()

    def stateless_reset_state(self) -> list[Any]:
        """The values that `variables` have after `reset_state`; changes no variable."""
        with StatelessScope() as scope:
            self.reset_state()
        after = [(variable, scope.get_current_value(variable)) for variable in self.variables]
        return [variable.value if value is None else value for variable, value in after]

    def _paired(self, values: Sequence[Any]) -> list[tuple[Variable, Any]]:
        return paired(self.variables, values, f"variables of {self.name}")

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Take in one batch, and return the value for all so far."""
        self.update_state(*args, **kwargs)
        return self.result()

    def get_config(self) -> dict[str, Any]:
        """The arguments that make this metric again."""
        return {"name": self.name, "dtype": self.dtype}

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> Self:
        """The metric that `get_config` described."""
        return cls(**config)

    def __repr__(self) -> str:
        return f"<{type(self).__name__} name={self.name}>"


def check_batch(metric: str, y_true: Any, y_pred: Any) -> None:
    """ShapeError if targets and predictions are of different numbers of samples, as far as these are known."""
    target, output = getattr(y_true, "shape", ()), getattr(y_pred, "shape", ())
    sizes = {size for shape in (target, output) for size in shape[:1] if size not in (None, 1)}
    if len(sizes) > 1:
        raise ShapeError(
            f"{metric}: y_true has shape {shown(target)} and y_pred {shown(output)}; there must be a target for each "
            "prediction"
        )


def check_rank_2(metric: str, y_true: Any, y_pred: Any) -> None:
    """ShapeError if targets and predictions are not both of one shape (batch, outputs)."""
    target, output = y_true.shape, y_pred.shape
    if len(target) != 2 or len(output) != 2 or target[1] is None or target[1] != output[1]:
        raise ShapeError(
            f"{metric} wants y_true and y_pred of one shape (batch, outputs), the outputs known; it got "
            f"{shown(target)} and {shown(output)}"
        )
    check_batch(metric, y_true, y_pred)


def shown(shape: Any) -> str:
    """A shape as users write it, with None for a size known only at the call."""
    return str(tuple(shape))
