"""What all optimizers share: the learning rate, and what a step does before, around and after the update."""

from __future__ import annotations

import re
import warnings
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from inspect import Parameter, signature
from typing import Any, Self, TypedDict, TypeVar

import numpy as np

from kgraph import initializers, ops
from kgraph.errors import ArgumentError, SettingError
from kgraph.layers.naming import automatic_name
from kgraph.optimizers import schedules
from kgraph.optimizers.gradients import clip_by_global_norm, clip_by_norm, present
from kgraph.optimizers.state import State, changed_only_if
from kgraph.tracing.stateless import StatelessScope, paired
from kgraph.tracing.trace import suspended
from kgraph.tracing.variable import Variable

Constructor = TypeVar("Constructor", bound=Callable[..., None])


class Common(TypedDict, total=False):
    """The arguments that every optimizer takes besides its own; `Optimizer` says what they do."""

    weight_decay: float | None
    clipnorm: float | None
    global_clipnorm: float | None
    clipvalue: float | None
    use_ema: bool
    ema_momentum: float
    ema_overwrite_frequency: int | None
    loss_scale_factor: float | None
    gradient_accumulation_steps: int | None
    name: str | None


class Optimizer(State):
    """How weights follow from gradients. Subclasses define `build(variables)` and `update_step(...)`.

    learning_rate: a number, a Variable, a schedule, or a function without arguments. weight_decay: the share, times the
    learning rate, that weights lose each step. clipnorm, global_clipnorm, clipvalue: the largest norm of a gradient,
    norm of all together, or element; at most one of the three. use_ema: average the weights with ema_momentum, and put
    the averages in their places every ema_overwrite_frequency steps, and when training ends. loss_scale_factor: what
    the loss is multiplied by before gradients are taken. gradient_accumulation_steps: how many gradients to average
    for one update.

    Steps run on symbols while a function is traced, and on arrays at once otherwise. So an update is written with
    `kgraph.ops`, and chooses with `ops.where`.

    Raises ArgumentError for arguments that are unknown, out of range, or exclude each other.
    """

    settings: tuple[str, ...] = ()  # the arguments of a subclass's constructor, for `get_config`

    def __init__(
        self,
        learning_rate: Any,
        weight_decay: float | None = None,
        clipnorm: float | None = None,
        clipvalue: float | None = None,
        global_clipnorm: float | None = None,
        use_ema: bool = False,
        ema_momentum: float = 0.99,
        ema_overwrite_frequency: int | None = None,
        loss_scale_factor: float | None = None,
        gradient_accumulation_steps: int | None = None,
        name: str | None = None,
        **unknown: Any,
    ) -> None:
        self.__dict__["_variables"] = []
        if unknown.pop("decay", None) is not None:
            warnings.warn("optimizers ignore `decay`; give a schedule as learning_rate instead", stacklevel=3)
        if unknown:
            older = "; what older programs call lr is learning_rate" if "lr" in unknown else ""
            raise ArgumentError(f"{type(self).__name__} does not know the arguments {', '.join(unknown)}{older}")
        self.name = name or automatic_name(type(self).__name__)
        self.weight_decay, self.loss_scale_factor = weight_decay, loss_scale_factor
        self.clipnorm, self.clipvalue, self.global_clipnorm = clipnorm, clipvalue, global_clipnorm
        self.use_ema, self.ema_momentum = use_ema, ema_momentum
        self.ema_overwrite_frequency = ema_overwrite_frequency
        self.gradient_accumulation_steps = gradient_accumulation_steps
        self._check_arguments()
        self.built = False
        self._trainable_variables: list[Variable] = []
        self._indices: dict[Variable, int] = {}
        self._excluded: tuple[frozenset[Variable], str] = (frozenset(), "")
        self._shared: dict[Any, Any] | None = None
        self._iterations = self.add_variable((), dtype="int", name="iteration")
        self._learning_rate = self._rate(learning_rate)

    def _check_arguments(self) -> None:
        steps, every = self.gradient_accumulation_steps, self.ema_overwrite_frequency
        if steps and steps < 2:
            raise ArgumentError(f"gradient_accumulation_steps must be a whole number from 2 on, and is {steps}")
        if self.use_ema and not 0 <= self.ema_momentum <= 1:
            raise ArgumentError(f"ema_momentum must lie in [0, 1], and is {self.ema_momentum}")
        if self.use_ema and every and (not isinstance(every, int) or every < 1):
            raise ArgumentError(f"ema_overwrite_frequency must be None or a whole number from 1 on, and is {every}")
        clips = {name: getattr(self, name) for name in ("clipnorm", "clipvalue", "global_clipnorm")}
        if sum(value is not None for value in clips.values()) > 1:
            raise ArgumentError(f"give only one of clipnorm, clipvalue and global_clipnorm; they are {clips}")

    @property
    def iterations(self) -> Any:
        """How many updates were made: a Variable, or a value where gradients are accumulated."""
        steps = self.gradient_accumulation_steps
        return ops.floor_divide(self._iterations, steps) if steps else self._iterations

    # The learning rate

    def _rate(self, given: Any) -> Any:
        if callable(given) or isinstance(given, Variable):
            return given
        if isinstance(given, bool) or not hasattr(given, "__float__"):
            raise ArgumentError(
                f"learning_rate is {given!r:.60}; give a number, a Variable, a schedule or a function without arguments"
            )
        return self.add_variable((), initializers.Constant(float(given)), name="learning_rate")

    @property
    def learning_rate(self) -> Any:
        """The rate of the next step: a Variable, or what the schedule or the function gives."""
        rate = self._learning_rate
        if isinstance(rate, Variable):
            return rate
        return rate(self._iterations) if isinstance(rate, schedules.LearningRateSchedule) else rate()

    @learning_rate.setter
    def learning_rate(self, learning_rate: Any) -> None:
        """Set the number, or put a schedule or function in its place. SettingError for a number beside a schedule."""
        before = self._learning_rate
        if callable(learning_rate):
            self._variables[:] = [one for one in self._variables if one is not before]
            self._learning_rate = learning_rate
        elif isinstance(before, Variable):
            before.assign(learning_rate)
        else:
            raise SettingError(
                f"the learning rate of {self.name} comes from a {type(before).__name__}, so it cannot be set to "
                f"{learning_rate}; make the optimizer with a number, or set another schedule"
            )

    # A step

    def build(self, variables: Iterable[Variable]) -> None:
        """Make the state for these variables. Subclasses call this, then make their own with `add_...`."""
        variables = list(variables)
        if self.use_ema:
            self._averages = self.add_optimizer_variables(variables, "average")
        if self.gradient_accumulation_steps:
            self._accumulated_gradients = self.add_optimizer_variables(variables, "gradient_accumulator")
        self._trainable_variables = variables
        self._indices = {variable: index for index, variable in enumerate(variables)}
        self.built = True

    def update_step(self, gradient: Any, variable: Variable, learning_rate: Any) -> None:
        """Change one weight, and its part of the state, by one gradient; subclasses define it."""
        raise NotImplementedError(f"{type(self).__name__} must define update_step(gradient, variable, learning_rate)")

    def scale_loss(self, loss: Any) -> Any:
        """The loss whose gradients `apply` wants: times loss_scale_factor, if there is one."""
        return loss if self.loss_scale_factor is None else loss * self.loss_scale_factor

    def apply_gradients(self, grads_and_vars: Iterable[tuple[Any, Variable]]) -> Variable:
        """`apply` for pairs of a gradient and its weight. Gives back the count of steps."""
        pairs = list(grads_and_vars)
        self.apply([gradient for gradient, _ in pairs], [variable for _, variable in pairs])
        return self._iterations

    def apply(self, grads: Iterable[Any], trainable_variables: Iterable[Variable] | None = None) -> None:
        """Update the weights by their gradients; a weight whose gradient is None stays as it is, with a warning.

        trainable_variables are those of the gradients, by default all that the optimizer was built with; on the first
        call it is built with them. Raises ArgumentError for variables it was not built with, for another number of
        gradients, or if all are None; ShapeError for a gradient that does not fit.
        """
        grads = list(grads)
        if not grads:
            return
        pairs = present(grads, self._variables_of(grads, trainable_variables))
        found, variables = [gradient for gradient, _ in pairs], [variable for _, variable in pairs]
        if self.loss_scale_factor is not None:
            found = [gradient * (1.0 / self.loss_scale_factor) for gradient in found]
        with self._sharing(), np.errstate(all="ignore"):  # as ops on arrays do
            self._update(found, variables)
            if self.use_ema:
                self._update_averages()
        for variable in variables:
            if variable.constraint is not None:
                variable.assign(variable.constraint(variable))
        self._iterations.assign_add(1)

    def stateless_apply(
        self, optimizer_variables: Sequence[Any], grads: Iterable[Any], trainable_variables: Sequence[Any]
    ) -> tuple[list[Any], list[Any]]:
        """`apply` on values of the weights and of `variables`; gives the new values back and changes no variable.

        Raises ArgumentError before `build`, and for a wrong number of values.
        """
        if not self.built:
            raise ArgumentError(f"{self.name} is not built: call build(variables) before stateless_apply")
        weights = paired(self._trainable_variables, trainable_variables, f"weights of {self.name}")
        state = paired(self.variables, optimizer_variables, f"variables of {self.name}")
        with StatelessScope([*weights, *state]) as scope:
            self.apply(grads)
        weights_after = [scope.get_current_value(variable) for variable, _ in weights]
        return weights_after, [scope.get_current_value(variable) for variable, _ in state]

    def _variables_of(self, grads: list[Any], given: Iterable[Variable] | None) -> list[Variable]:
        if given is None and not self.built:
            raise ArgumentError(f"{self.name} is not built: call apply(grads, variables), or build(variables) before")
        variables = self._trainable_variables if given is None else list(given)
        if len(grads) != len(variables):
            raise ArgumentError(f"{len(grads)} gradients for {len(variables)} variables")
        if not self.built:
            with suspended():
                self.build(variables)
            self.built = True
        for variable in variables:
            self._get_variable_index(variable)
        return variables

    def _get_variable_index(self, variable: Variable) -> int:
        if variable not in self._indices:
            raise ArgumentError(f"{self.name} was not built with {variable!r}; make a new optimizer for new variables")
        return self._indices[variable]

    def _update(self, grads: list[Any], variables: list[Variable]) -> None:
        """Clip, decay and update; with accumulation in the last of so many steps only."""
        steps = self.gradient_accumulation_steps
        if not steps:
            self._update_weights(grads, variables)
            return
        last = ops.equal(ops.mod(self._iterations + 1, steps), 0)
        sums = [self._accumulated_gradients[self._get_variable_index(variable)] for variable in variables]
        totals = [total + gradient for total, gradient in zip(sums, grads, strict=True)]
        with changed_only_if(last, [*variables, *self.variables]):
            self._update_weights([total * (1.0 / steps) for total in totals], variables)
        for variable, total in zip(sums, totals, strict=True):
            variable.assign(ops.where(last, 0.0, total))

    def _update_weights(self, grads: list[Any], variables: list[Variable]) -> None:
        learning_rate = self.learning_rate
        grads = self._clip(grads)
        for variable in variables:
            decay = self.weight_decay_of(variable)
            if decay is not None and self._use_weight_decay(variable):
                share = self.once(decay_share, learning_rate, decay, variable.dtype)
                variable.assign(variable - variable * share)
        self.update_steps(grads, variables, learning_rate)

    def update_steps(self, grads: list[Any], variables: list[Variable], learning_rate: Any) -> None:
        """Change all weights; a subclass that has state for all of them together changes it here."""
        for gradient, variable in zip(grads, variables, strict=True):
            self.update_step(gradient, variable, learning_rate)

    def _clip(self, grads: list[Any]) -> list[Any]:
        if self.clipnorm and self.clipnorm > 0:
            return [clip_by_norm(gradient, self.clipnorm) for gradient in grads]
        if self.global_clipnorm and self.global_clipnorm > 0:
            return clip_by_global_norm(grads, self.global_clipnorm)
        if self.clipvalue and self.clipvalue > 0:
            return [ops.clip(gradient, -self.clipvalue, self.clipvalue) for gradient in grads]
        return grads

    # Scalars that all weights share

    @contextmanager
    def _sharing(self) -> Iterator[None]:
        self._shared = {}
        try:
            yield
        finally:
            self._shared = None

    def once(self, make: Callable[..., Any], *arguments: Any) -> Any:
        """make(*arguments), computed once in a step: for scalars that the updates of all weights read."""
        if self._shared is None:
            return make(*arguments)
        key = (make, *(one if isinstance(one, (str, int, float)) else id(one) for one in arguments))
        if key not in self._shared:
            self._shared[key] = arguments, make(*arguments)  # the arguments are kept, so that no id is used twice
        return self._shared[key][1]

    def step(self, dtype: str) -> Any:
        """The number of the update under way, from 1 on, in a float dtype."""
        return self.once(self._step, dtype)

    def _step(self, dtype: str) -> Any:
        return ops.cast(self.iterations + 1, dtype)

    # Weight decay

    def exclude_from_weight_decay(self, var_list: Iterable[Variable] | None = None, var_names: Any = None) -> None:
        """Keep the decay from these variables, and from those in whose name one of the patterns var_names is found.

        Raises ArgumentError after `build`, when the decay may have been compiled.
        """
        if self.built:
            raise ArgumentError(f"{self.name} is built, and variables can be excluded from its decay only before")
        self._excluded = frozenset(var_list or ()), "|".join(var_names or ())

    def _use_weight_decay(self, variable: Variable) -> bool:
        excluded, pattern = self._excluded
        return variable not in excluded and not (pattern and re.search(pattern, variable.name))

    def weight_decay_of(self, variable: Variable) -> float | None:
        """The decay of a variable that is not excluded."""
        return self.weight_decay

    # Averages of the weights

    def _update_averages(self) -> None:
        after = self.ema_overwrite_frequency
        for variable, average in zip(self._trainable_variables, self._averages, strict=True):
            kept, taken = self.once(self._kept_and_taken, variable.dtype)
            average.assign(average * kept + variable * taken)
            if after:
                variable.assign(ops.where(self.once(self._due, after), average, variable))

    def _kept_and_taken(self, dtype: str) -> tuple[Any, Any]:
        """The share of an average that stays, which is nothing in the first step, and that of the weight."""
        kept = ops.cast(ops.not_equal(self.iterations, 0), dtype) * self.ema_momentum
        return kept, 1.0 - kept

    def _due(self, after: int) -> Any:
        return ops.equal(ops.mod(self.iterations + 1, after), 0)

    def finalize_variable_values(self, var_list: Iterable[Variable]) -> None:
        """What remains to be done when training ends: with use_ema, the averages take the places of the weights."""
        if self.use_ema:
            for variable in var_list:
                variable.assign(self._averages[self._get_variable_index(variable)])

    # Configuration

    def get_config(self) -> dict[str, Any]:
        """The arguments that make this optimizer again, without its state."""
        common = {name: getattr(self, name) for name in Common.__annotations__}
        own = {name: getattr(self, name) for name in self.settings}
        return {"name": self.name, "learning_rate": described_rate(self._learning_rate), **common, **own}

    @classmethod
    def from_config(cls, config: dict[str, Any], custom_objects: dict[str, Any] | None = None) -> Self:
        """The optimizer that `get_config` described; custom_objects: schedules that kgraph does not know, by name."""
        rate = config.get("learning_rate")
        if isinstance(rate, dict):
            config = config | {"learning_rate": schedules.deserialize(rate, custom_objects)}
        return cls(**config)


def takes_common(constructor: Constructor) -> Constructor:
    """Name in a constructor's signature what its `*common, **named` stand for: the arguments of Optimizer."""
    found = signature(constructor)
    own = {name: one for name, one in found.parameters.items() if one.kind is Parameter.POSITIONAL_OR_KEYWORD}
    rest = [one for name, one in signature(Optimizer.__init__).parameters.items() if name not in own]
    constructor.__signature__ = found.replace(parameters=[*own.values(), *rest])  # type: ignore[attr-defined]
    return constructor


def decay_share(learning_rate: Any, decay: float, dtype: str) -> Any:
    """The share of a weight that one step takes away."""
    return ops.cast(learning_rate, dtype) * decay


def described_rate(rate: Any) -> Any:
    """A number, or the config of a schedule or function."""
    return float(rate) if isinstance(rate, Variable) else schedules.serialize(rate)
