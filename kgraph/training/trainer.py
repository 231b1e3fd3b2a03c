"""The Keras workflow of a model: what `compile` settles, and the steps that are traced and compiled."""

from __future__ import annotations

import inspect
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from types import MethodType
from typing import Any

import numpy as np

from kgraph import ops, optimizers, tree
from kgraph.errors import ArgumentError, GraphError
from kgraph.executable.direct import DirectExecutable, declined
from kgraph.executable.gradient_tape import GradientTape
from kgraph.layers.owner import note_change, unique
from kgraph.metrics import Mean
from kgraph.saving import objects
from kgraph.tracing.stateless import StatelessScope, paired
from kgraph.training import fitting
from kgraph.training.compiled_loss import CompiledLoss
from kgraph.training.compiled_metrics import CompiledMetrics
from kgraph.training.data import as_nest, class_weights, dataset, unpack_x_y_sample_weight
from kgraph.training.step import CompiledStep, Steps


@dataclass
class Compilation:
    """What `compile` was given, and what became of it."""

    config: dict[str, Any]
    optimizer: Any
    loss: CompiledLoss | None
    metrics: CompiledMetrics | None
    tracker: Mean  # the mean of the loss
    run_eagerly: bool
    steps_per_execution: int
    steps: dict[str, Steps] = field(default_factory=dict)

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "steps": {}}


NATIVE = ("_predictor", "_native_predict", "predict", "predict_on_batch")  # attributes of a model that has predicted


class Trainer:
    """Training, for `Model`: compile, fit, evaluate, predict, and the steps that a subclass may define itself.

    `train_step`, `test_step` and `predict_step` are traced once for each type of data and compiled as a whole: forward,
    loss, gradients, optimizer and metrics become one graph and one native call.
    """

    _compilation: Compilation | None = None
    _metrics: list[Any]
    _initial_epoch: int | None = None  # set by a callback that restores
    _predictor: Steps | None = None
    _native_predict: Any = None  # what serves `predict` of one array natively; None for what it cannot serve
    stop_training = False
    history: Any = None
    name: str
    losses: list[Any]
    trainable_variables: list[Any]
    non_trainable_variables: list[Any]
    metrics_variables: list[Any]

    def compile(
        self,
        optimizer: Any = "rmsprop",
        loss: Any = None,
        loss_weights: Any = None,
        metrics: Any = None,
        weighted_metrics: Any = None,
        run_eagerly: bool = False,
        steps_per_execution: int = 1,
        jit_compile: Any = "auto",
        auto_scale_loss: bool = True,
    ) -> None:
        """Settle how the model is trained and measured.

        optimizer: a name or an Optimizer. loss: a name, a Loss or a function of (y_true, y_pred), or a list or dict
        with one for each output. loss_weights: one or a list or dict of numbers, default 1. metrics and
        weighted_metrics: lists of names, functions and Metric objects, or by output; only the latter count sample
        weights. steps_per_execution: after how many batches callbacks are told. run_eagerly: compute the steps by
        numpy, one op after the other. jit_compile has no effect: steps are always compiled. auto_scale_loss: scale the
        loss of a model in mixed_float16. Which weights are trained is settled at the first step.
        """
        names = getattr(self, "output_names", None)
        chosen = optimizers.get(optimizer)
        if auto_scale_loss and chosen is not None and self._policy_name == "mixed_float16":
            scaled = isinstance(chosen, optimizers.LossScaleOptimizer)
            chosen = chosen if scaled else optimizers.LossScaleOptimizer(chosen)
        if isinstance(steps_per_execution, bool) or not isinstance(steps_per_execution, int) or steps_per_execution < 1:
            raise ArgumentError(f"steps_per_execution is an integer from 1 on, not {steps_per_execution!r}")
        given = {
            "optimizer": chosen,
            "loss": loss,
            "loss_weights": loss_weights,
            "metrics": metrics,
            "weighted_metrics": weighted_metrics,
            "run_eagerly": run_eagerly,
            "steps_per_execution": steps_per_execution,
            "jit_compile": jit_compile,
        }
        measured = metrics is not None or weighted_metrics is not None
        object.__setattr__(self, "_compilation", Compilation(
            given,
            chosen,
            None if loss is None else CompiledLoss(loss, loss_weights, names),
            CompiledMetrics(metrics, weighted_metrics, names) if measured else None,
            Mean(name="loss"),
            run_eagerly,
            steps_per_execution,
        ))  # fmt: skip
        self._forget_steps()
        self.stop_training = False

    def _forget_steps(self) -> None:
        """Trace all steps, and calls on arrays, anew."""
        note_change()
        for name in NATIVE:
            self.__dict__.pop(name, None)
        if self._compilation is not None:
            self._compilation.steps.clear()

    def __getstate__(self) -> dict[str, Any]:
        state: Any = super().__getstate__()
        return {name: value for name, value in state.items() if name not in NATIVE}

    @property
    def _policy_name(self) -> str:
        return getattr(getattr(self, "dtype_policy", None), "name", "")

    @property
    def compiled(self) -> bool:
        """Whether `compile` was called."""
        return self._compilation is not None

    @property
    def optimizer(self) -> Any:
        """The optimizer; None before `compile`."""
        return self._compilation.optimizer if self._compilation else None

    @optimizer.setter
    def optimizer(self, optimizer: Any) -> None:
        self._needs_compile("optimizer").optimizer = optimizers.get(optimizer)
        self._forget_steps()

    @property
    def loss(self) -> Any:
        """The loss as `compile` was given it."""
        return self._compilation.config["loss"] if self._compilation else None

    @property
    def run_eagerly(self) -> bool:
        """Whether steps are computed by numpy, one op after the other."""
        return bool(self._compilation and self._compilation.run_eagerly)

    @property
    def metrics(self) -> list[Any]:
        """The mean of the loss, what `compile` was given, and the metrics that the model and its layers hold.

        Not those of a model in it, which measure when that one is trained itself.
        """
        return unique([metric for _, metric in self._named_metrics()])

    def _named_metrics(self) -> list[tuple[str, Any]]:
        """The metrics with the names of their results; one that measures twice comes twice."""
        found: list[tuple[str, Any]] = []
        if (made := self._compilation) is not None:
            losses = [made.tracker, *(made.loss.metrics if made.loss else ())]
            found = [*((metric.name, metric) for metric in losses), *(made.metrics.named if made.metrics else ())]
        known = [metric for _, metric in found]
        own = unique([*known, *self._metrics, *_metrics_below(self)])[len(unique(known)) :]
        return [*found, *((metric.name, metric) for metric in own)]

    @property
    def metrics_names(self) -> list[str]:
        """The names of the metrics, in the order of what `evaluate` returns."""
        return [name for name, _ in self._named_metrics()]

    def reset_metrics(self) -> None:
        """Let all metrics begin anew."""
        for metric in self.metrics:
            metric.reset_state()

    # -- the steps

    def train_step(self, data: Any) -> dict[str, Any]:
        """One step of training on a batch, (x, y, sample_weight) as far as they are there; returns the metrics.

        For subclasses to define otherwise, with GradientTape and `self.optimizer.apply_gradients`.
        """
        x, y, sample_weight = unpack_x_y_sample_weight(data)
        with GradientTape() as tape:
            y_pred = self(x, training=True)  # type: ignore[operator]
            loss = self._loss_of(x, y, y_pred, sample_weight, training=True)
            scaled = self.optimizer.scale_loss(loss)
        self._track_loss(loss, x)
        variables = self.trainable_variables
        if variables:
            self.optimizer.apply_gradients(zip(tape.gradient(scaled, variables), variables, strict=True))
        else:
            warnings.warn(f"model {self.name!r} has no trainable weights", stacklevel=2)
        return self.compute_metrics(x, y, y_pred, sample_weight)

    def test_step(self, data: Any) -> dict[str, Any]:
        """One step of evaluation on a batch; returns the metrics. For subclasses to define otherwise."""
        x, y, sample_weight = unpack_x_y_sample_weight(data)
        y_pred = self(x, training=False)  # type: ignore[operator]
        self._track_loss(self._loss_of(x, y, y_pred, sample_weight, training=False), x)
        return self.compute_metrics(x, y, y_pred, sample_weight)

    def predict_step(self, data: Any) -> Any:
        """The outputs for a batch. For subclasses to define otherwise."""
        x, _, _ = unpack_x_y_sample_weight(data)
        return self(x, training=False)  # type: ignore[operator]

    def compute_loss(
        self, x: Any = None, y: Any = None, y_pred: Any = None, sample_weight: Any = None, training: bool = True
    ) -> Any:
        """The loss of `compile`, and those that layers and regularizers add, as a scalar. For subclasses to extend.

        ArgumentError where there is nothing to make small.
        """
        made = self._needs_compile("compute_loss")
        total = None if made.loss is None else made.loss(y, y_pred, sample_weight)
        for loss in self.losses:
            one = ops.sum(ops.cast(loss, made.tracker.dtype))
            total = one if total is None else total + one
        if total is None:
            raise ArgumentError(
                f"model {self.name!r} has no loss to make small: give compile a loss, or add_loss in a layer"
            )
        return total

    def stateless_compute_loss(
        self,
        trainable_variables: Sequence[Any],
        non_trainable_variables: Sequence[Any],
        metrics_variables: Sequence[Any],
        x: Any = None,
        y: Any = None,
        y_pred: Any = None,
        sample_weight: Any = None,
        training: bool = True,
    ) -> tuple[Any, tuple[list[Any], list[Any], list[Any]]]:
        """`compute_loss` with these values for the variables, which are left as they are.

        Returns the loss, and the values of the three lists of variables afterwards. ArgumentError for a wrong number.
        """
        given = [
            paired(self.trainable_variables, trainable_variables, f"trainable variables of model {self.name!r}"),
            paired(self.non_trainable_variables, non_trainable_variables, f"other variables of model {self.name!r}"),
            paired(self.metrics_variables, metrics_variables, f"variables of the metrics of model {self.name!r}"),
        ]
        with StatelessScope([pair for pairs in given for pair in pairs]) as scope:
            loss = self._loss_of(x, y, y_pred, sample_weight, training)
        weights, state, measured = ([scope.get_current_value(one) for one, _ in pairs] for pairs in given)
        return loss, (weights, state, measured)

    def _loss_of(self, x: Any, y: Any, y_pred: Any, sample_weight: Any, training: bool) -> Any:
        """`compute_loss`, also where a subclass defines it without `training`."""
        takes = inspect.signature(self.compute_loss).parameters
        options = {"training": training} if "training" in takes else {}
        return self.compute_loss(x=x, y=y, y_pred=y_pred, sample_weight=sample_weight, **options)

    def _track_loss(self, loss: Any, x: Any) -> None:
        sizes = [leaf for leaf in tree.flatten(x) if leaf is not None]
        self._needs_compile("train_step").tracker.update_state(loss, sample_weight=ops.shape(sizes[0])[0])

    def compute_metrics(self, x: Any, y: Any, y_pred: Any, sample_weight: Any = None) -> dict[str, Any]:
        """Let the metrics of `compile` take in a batch; returns those of the model. For subclasses to extend."""
        made = self._needs_compile("compute_metrics")
        if made.metrics is not None:
            made.metrics.update_state(y, y_pred, sample_weight)
        return self.get_metrics_result()

    def get_metrics_result(self) -> dict[str, Any]:
        """The value of each metric by its name; metrics that give a dict are spread out."""
        found: dict[str, Any] = {}
        for name, metric in self._named_metrics():
            result = metric.result()
            found.update(result if isinstance(result, dict) else {name: result})
        return found

    def steps_for(self, kind: str) -> Steps:
        """The compiled steps of one kind: "train", "test" or "predict"."""
        if kind == "predict":
            if self._predictor is None:
                object.__setattr__(self, "_predictor", Steps(self.predict_step, False, self._input_symbols))
            assert self._predictor is not None
            return self._predictor
        made = self._needs_compile("fit" if kind == "train" else "evaluate")
        if kind not in made.steps:
            step = self.train_step if kind == "train" else self.test_step
            made.steps[kind] = Steps(step, kind == "train", self._input_symbols, made.run_eagerly)
        return made.steps[kind]

    def _predict_one(self, data: Any) -> Any:
        """The outputs for one batch. From then on `predict` of an array like it is served by native code."""
        steps = self.steps_for("predict")
        step = steps.find(data)
        made = step(data)
        found = step.executable if isinstance(step, CompiledStep) and step.inputs == 1 else None
        if isinstance(found, DirectExecutable) and isinstance(data, np.ndarray) and isinstance(made, np.ndarray):
            served: dict[str, Any] = {"_native_predict": found.in_front_of(declined, {})}
            for name, idle in (("predict", fitting.IDLE), ("predict_on_batch", {})):
                method = getattr(Trainer, name)
                if getattr(type(self), name) is method:
                    served[name] = found.in_front_of(MethodType(method, self), idle)
            for name, function in served.items():
                object.__setattr__(self, name, function)
        return made

    def _input_symbols(self) -> Any:
        return getattr(self, "inputs", None)

    def _needs_compile(self, what: str) -> Compilation:
        if self._compilation is None:
            raise GraphError(f"{what} needs an optimizer and a loss: call model.compile(...) first")
        return self._compilation

    # -- what users call

    fit, evaluate, predict = fitting.fit, fitting.evaluate, fitting.predict

    def train_on_batch(
        self, x: Any, y: Any = None, sample_weight: Any = None, class_weight: Any = None, return_dict: bool = False
    ) -> Any:
        """One step of training. Returns the loss, or a list of it and the metrics, or a dict: of this batch alone.

        ArgumentError for class_weight beside sample_weight.
        """
        y = as_nest(y, "y")
        if class_weight is not None:
            if sample_weight is not None:
                raise ArgumentError("give class_weight or sample_weight, and not both")
            sample_weight = class_weights(y, class_weight)
        return self._on_batch("train", x, y, sample_weight, return_dict)

    def test_on_batch(self, x: Any, y: Any = None, sample_weight: Any = None, return_dict: bool = False) -> Any:
        """One step of evaluation. Returns the loss, or a list of it and the metrics, or a dict."""
        return self._on_batch("test", x, y, sample_weight, return_dict)

    def predict_on_batch(self, x: Any) -> Any:
        """The outputs for one batch, as arrays."""
        size = dataset(x).size  # type: ignore[union-attr]
        return fitting.predict(self, x, batch_size=max(1, size), verbose=0)

    def _on_batch(self, kind: str, x: Any, y: Any, sample_weight: Any, return_dict: bool) -> Any:
        given = dataset(x, y, sample_weight)
        fitting.check_data(self, given)
        self.reset_metrics()
        found = self.steps_for(kind).find(given.data)(given.data)  # type: ignore[union-attr]
        logs = fitting.as_logs(found)
        return logs if return_dict else fitting.in_order(self, logs)

    # -- configuration

    def get_compile_config(self) -> dict[str, Any] | None:
        """What `compile` was given, as plain data; None before it was called."""
        if self._compilation is None:
            return None
        return {key: objects.serialize_keras_object(value) for key, value in self._compilation.config.items()}

    def compile_from_config(self, config: Mapping[str, Any]) -> None:
        """Compile as `get_compile_config` of an equal model says, and make the optimizer's variables."""
        given = {key: value for key, value in config.items() if key in inspect.signature(self.compile).parameters}
        given["optimizer"] = optimizers.deserialize(given["optimizer"]) if given.get("optimizer") else "rmsprop"
        for key in ("loss", "metrics", "weighted_metrics"):
            given[key] = objects.made(given.get(key))
        self.compile(**given)
        if self.optimizer is not None and getattr(self, "built", False):
            self.optimizer.build(self.trainable_variables)


def _metrics_below(layer: Any) -> list[Any]:
    """The metrics that layers in a layer hold."""
    found = [_metrics_below(one) if isinstance(one, Trainer) else one.metrics for one in layer._sublayers]
    return [metric for metrics in found for metric in metrics]
