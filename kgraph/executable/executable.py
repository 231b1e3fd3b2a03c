"""What `kgraph.compile` returns: a callable that can also show everything the compiler did."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from weakref import WeakSet

import numpy as np

from kgraph import config, tree
from kgraph.codegen.cpu import library
from kgraph.codegen.targets import program_for
from kgraph.errors import ArgumentError
from kgraph.executable.arrays import arguments, as_input, check_outputs, for_outputs_of
from kgraph.executable.differentiate import (
    Request,
    for_cotangents,
    for_loss,
    for_outputs,
    sample_shape,
    state_of,
    target_kind,
)
from kgraph.executable.lower import lower
from kgraph.graph.evaluate import bind_sizes
from kgraph.graph.ir import Graph
from kgraph.graph.sizes import resolve
from kgraph.graph.types import TensorType, numpy_dtype
from kgraph.passes import tell

MOST_SHAPES = 256  # combinations of input shapes whose sizes are remembered


@dataclass
class Definition:
    """What is compiled: the layer graph or traced function, and how its inputs and outputs are nested."""

    graph: Graph
    outputs: Any  # the nest of the outputs, with anything as leaves
    weights: Sequence[Any]  # the trainable variables, in the order of their gradients
    count: int  # how many outputs the graph has before the losses of its layers

    @property
    def names(self) -> list[str]:
        """What the outputs are called: their keys where the model returns a dict, else by their layers."""
        if isinstance(self.outputs, Mapping) and not any(map(tree.is_nested, self.outputs.values())):
            return sorted(self.outputs)
        return self.graph.outputs[: self.count]


class Lowered:
    """One graph on its way down: every stage, and the program at the end."""

    def __init__(self, graph: Graph, options: Options, request: Request) -> None:
        self.lower_only = options.lower_only
        self.stages = lower(graph, request, options.freeze, options.target)
        self.ir = list(self.stages.values())[-1]
        self.program = program_for(options.target)(self.ir, options.threads, options.lower_only)
        if "source" in config.shown() or config.dump_dir():
            tell(len(self.stages), "source", self.program.source())
        self.inputs = [(name, self.ir[name].tensor) for name in self.ir.inputs]
        self.native: Callable[..., list[np.ndarray] | None] | None = None  # runs the program where nothing is missing
        self._known: dict[Any, Any] = {}
        made, wanted = self.ir, self.stages["gradients"]  # where half precision is not yet made float32
        self.dtypes = [numpy_dtype(made[name].tensor.dtype) for name in made.outputs]
        self.results = [numpy_dtype(wanted[name].tensor.dtype) for name in wanted.outputs]
        self.narrows = self.dtypes != self.results

    def run(self, values: Sequence[Any], out: Sequence[np.ndarray] | None = None) -> list[np.ndarray]:
        """The outputs for these inputs; variables that the graph updates have been updated."""
        self._check_runs()
        given = [as_input(name, kind, value) for (name, kind), value in zip(self.inputs, values, strict=True)]
        if out is None and self.native is not None and (made := self.native(*given)) is not None:
            return self._narrowed(made)
        sizes, shapes = self._sizes(tuple([array.shape for array in given]))
        if out is not None:
            check_outputs(out, shapes, self.results, given)
        staged = out is None or self.program.plan.checks or self.narrows  # a refused call leaves `out` as it was
        staged = staged or not all(array.flags.aligned for array in out or ())
        made = list(map(np.empty, shapes, self.dtypes)) if staged else list(out or ())
        for variable, value in self.program.run(given, made, sizes).items():
            if value is None:
                variable.touch()
            else:
                variable.write(value)
        if out is None:
            return self._narrowed(made)
        for target, value in zip(out, made, strict=True):
            if target is not value:
                target[...] = value
        return list(out)

    def _narrowed(self, made: list[np.ndarray]) -> list[np.ndarray]:
        """The results as users get them: what kernels computed in float32 in place of half precision, converted."""
        if not self.narrows:
            return made
        with np.errstate(over="ignore"):  # as in numpy's own arithmetic of halves, too large is infinite
            return [array.astype(dtype, copy=False) for array, dtype in zip(made, self.results, strict=True)]

    @contextmanager
    def feeding(self, arrays: Sequence[np.ndarray], batch: int) -> Iterator[tuple[Any, list[np.ndarray]]]:
        """Inside the block, something that runs batches of these arrays, and the outputs of the last one.

        The arrays have the inputs' dtypes, in C order, and samples along the first axis. ShapeError: they do not fit.
        """
        self._check_runs()
        arrays = [as_input(name, kind, array) for (name, kind), array in zip(self.inputs, arrays, strict=True)]
        sizes, shapes = self._sizes(tuple((batch, *array.shape[1:]) for array in arrays))
        results = list(map(np.empty, shapes, self.dtypes))
        with self.program.feeding(arrays, results, sizes, batch) as feed:
            yield feed, results

    def _check_runs(self) -> None:
        if self.lower_only:
            raise ArgumentError("a program made with lower_only=True has no machine code to run; compile it without")

    def _sizes(self, shapes: tuple[tuple[int, ...], ...]) -> tuple[dict[str, int], list[tuple[int, ...]]]:
        """The sizes of the named axes for inputs of these shapes, and the outputs' shapes; remembered."""
        known = self._known.get(shapes)
        if known is None:
            sizes = bind_sizes(self.ir, shapes)
            known = sizes, [resolve(self.ir[name].tensor.shape, sizes) for name in self.ir.outputs]
            if len(self._known) >= MOST_SHAPES:
                self._known.clear()
            self._known[shapes] = known
        return known


@dataclass(frozen=True)
class Options:
    """How to compile."""

    target: str = "cpu"
    training: bool = False
    threads: int | None = None
    lower_only: bool = False
    freeze: bool = False

    def __post_init__(self) -> None:
        asked = self.threads
        is_count = (
            isinstance(asked, (int, np.integer)) and not isinstance(asked, bool) and 1 <= asked <= config.MOST_THREADS
        )
        if asked is not None and not is_count:
            most = config.MOST_THREADS
            raise ArgumentError(
                f"threads= wants a number from 1 to {most}, or None for as many as there are processors; "
                f"it got {asked!r}"
            )


class Executable:
    """A compiled model: numpy arrays in, numpy arrays out.

    f(x) returns the output, or a list of outputs; f(x, out=y) writes into y and allocates nothing. Inputs of other
    dtypes are converted where no number changes. Any batch size goes, and weights are read at every call. A call that
    raises leaves `out` and all state as they were.
    """

    def __init__(self, definition: Definition, options: Options, loss: Any = None, weights: Any = None) -> None:
        self.definition, self.options, self.loss, self.loss_weights = definition, options, loss, weights
        self._ranks = [definition.graph[name].tensor.rank for name in definition.graph.inputs]
        self._made: dict[Any, Lowered] = {}
        self._lock = threading.RLock()
        _all.add(self)
        self._jitted: Any = None
        self._main = self._forward if loss is None else self._guessed_loss
        _ = self._main()

    def __repr__(self) -> str:
        given = ", ".join(f"{name}: {self.definition.graph[name].type}" for name in self._inputs)
        made = ", ".join(f"{name}: {kind}" for name, kind in zip(self.definition.names, self._kinds, strict=True))
        return f"<Executable for {self.options.target}{', with a loss' * (self.loss is not None)}: {given} -> {made}>"

    def __call__(self, *args: Any, out: Any = None, **named: Any) -> Any:
        lowered = self._forward()
        values = self._values(args, named)
        into = None if out is None else list(out) if isinstance(out, (list, tuple)) else [out]
        return self._nested(lowered.run(values, into))

    def feeding(self, arrays: Sequence[np.ndarray], batch: int) -> AbstractContextManager[tuple[Any, list[np.ndarray]]]:
        """Inside the block, something that runs batches of these arrays, and the outputs of the last; see `Lowered`."""
        return self._forward().feeding(arrays, batch)

    def value_and_grad(self, x: Any, y: Any, sample_weight: Any = None) -> tuple[Any, list[np.ndarray]]:
        """The loss, and its gradient for each of the model's trainable variables, in their order.

        y has a target for each output: one array, a list, or a dict by the outputs' names. sample_weight has a number
        for each sample, or each sample and time, for all outputs; or it is a list or dict of these, or of None.
        """
        if self.loss is None:
            raise ArgumentError('value_and_grad needs a loss: kgraph.compile(model, loss="mse")')
        inputs = self._values((x,), {})
        targets = [np.asarray(target) for target in self._each_output(y, "target")]
        weights = self._sample_weights(sample_weight)
        kinds = [target_kind(kind, one.shape[1:], one.dtype) for kind, one in zip(self._kinds, targets, strict=True)]
        pairs = zip(self._kinds, weights, strict=False)  # one array of weights serves all outputs
        shapes = [None if one is None else sample_shape(kind, one.shape) for kind, one in pairs]
        lowered = self._with_loss(kinds, shapes)
        value, *gradients = lowered.run([*inputs, *targets, *(one for one in weights if one is not None)])
        return value[()], gradients

    def vjp(self, *args: Any, **named: Any) -> tuple[Any, Callable[[Any], tuple[Any, list[np.ndarray]]]]:
        """The outputs, and `pullback(dy)`, which gives the gradients of the inputs and of the trainable variables.

        The pullback computes the forward pass again rather than keep its values; state that the call changes, such as
        the seeds of Dropout, has the value for it that it had before.
        """
        values = self._values(args, named)
        values = [
            np.array(as_input(n, self._forward().ir[n].tensor, v)) for n, v in zip(self._inputs, values, strict=True)
        ]
        lowered = self._pullback()
        count = len(self._inputs)
        values += [variable.numpy() for variable in self._state]

        def pullback(cotangents: Any) -> tuple[Any, list[np.ndarray]]:
            found = lowered.run([*values, *self._each_output(cotangents, "cotangent")])
            return (found[0] if count == 1 else found[:count]), found[count:]

        return self._nested(self._forward().run(values[:count])), pullback

    @property
    def ir(self) -> Graph:
        """The op graph that was lowered, one node for each kernel; with a loss, that of `value_and_grad`."""
        return self._main().ir

    @property
    def stages(self) -> dict[str, Graph]:
        """The graph after each step: trace, inline, ..., fuse."""
        return self._main().stages

    @property
    def source(self) -> str:
        """The generated Python of every kernel, in the order in which they run."""
        return self._main().program.source()

    def llvm(self) -> str:
        """The kernels as LLVM's text, before optimisation."""
        return self._main().program.llvm()

    def asm(self) -> str:
        """The kernels as assembly for this processor."""
        return self._main().program.asm()

    def ptx(self) -> str:
        """The CUDA kernels as PTX; needs the extra `cuda`."""
        return self._main().program.ptx()

    @property
    def jit(self) -> Any:
        """The same computation as a function for `@njit` code: `policy = f.jit`, and there `action = policy(x)`.

        It takes an array for each input and returns an array, or a tuple of them. With a loss it takes inputs and
        targets of the types that the loss expects, and returns (value, (gradients...)). Dtypes and numbers of axes are
        checked when numba compiles the caller, sizes at each call: ValueError. Arrays not in C order are copied.
        Weights are live. Half precision goes in and comes out as float32: numba has no arrays of it. The function may
        be called without the GIL and in parallel loops. numba does not cache its callers on disk, and says so. Raises
        ArgumentError for other targets than "cpu", and where calls change state.
        """
        if self._jitted is None:
            if self.options.target != "cpu" or self.options.lower_only:
                raise ArgumentError(
                    'f.jit runs machine code of the CPU: compile with target="cpu" and lower_only=False'
                )
            from kgraph.executable.jitted import jitted

            lowered = self._main()
            with self._lock:
                self._jitted = self._jitted or jitted(lowered.program, lowered.ir, self.loss is not None)
        return self._jitted

    def export(self, path: Any) -> tuple[Path, Path]:
        """Write the forward pass as a shared library and a C header, which need no Python; the paths of both.

        "build/policy", with or without .so or .h, gives build/policy.so, build/policy.h and in these a function
        `policy`: a pointer for each input, an int64_t for each open size, a pointer for each output. The header says
        the shapes. Other characters of the name than letters and digits become underscores in the function's.

        Weights are those of this moment, and machine code is for the processor of this machine (KGRAPH_CPU=generic:
        for all of its architecture). It runs with as many threads as `compile` was told, and may be called by several
        at once. Half precision goes in and out as float32.
        Linking is done by $CC, cc, gcc, clang, ld or the extra `export` (ziglang), whichever is there.

        Raises ArgumentError for other targets than "cpu", where calls change state, where C cannot have the name, and
        on other systems than Linux; MissingExtraError without a linker; SavingError where files cannot be written.
        Files that are there already are replaced by whole ones, or not at all; who has loaded the old library keeps it.
        """
        if self.options.target != "cpu" or self.options.lower_only:
            raise ArgumentError('f.export writes machine code of the CPU: compile with target="cpu", lower_only=False')
        return library.export(self._forward().program, path, self.definition.names)

    def _values(self, args: tuple[Any, ...], named: Mapping[str, Any]) -> list[Any]:
        """One value for each input, however they were given."""
        return arguments(self._inputs, self._ranks, args, named)

    def _each_output(self, value: Any, what: str) -> list[Any]:
        """One value for each output."""
        return for_outputs_of(self.definition.names, [kind.rank for kind in self._kinds], value, what)

    def _sample_weights(self, value: Any) -> list[Any]:
        """Nothing, one array for all outputs, or one or None for each."""
        if value is None:
            return []
        several = isinstance(value, Mapping) or (
            isinstance(value, (list, tuple)) and any(one is None or np.ndim(one) for one in value)
        )
        values = self._each_output(value, "sample_weight") if several else [value]
        return [None if one is None else np.asarray(one, np.float32) for one in values]

    @property
    def _kinds(self) -> list[TensorType]:
        graph = self.definition.graph
        return [graph[name].tensor for name in graph.outputs[: self.definition.count]]

    @property
    def _inputs(self) -> list[str]:
        return self.definition.graph.inputs

    @property
    def _state(self) -> list[Any]:
        return state_of(self.definition.graph, self.definition.weights)

    def _lowered(self, key: Any, request: Callable[[], Request]) -> Lowered:
        """Lower once for each key; the lock keeps two threads from doing it twice."""
        if key not in self._made:
            with self._lock:
                if key not in self._made:
                    self._made[key] = Lowered(self.definition.graph, self.options, request())
        return self._made[key]

    def _forward(self) -> Lowered:
        return self._lowered("forward", lambda: for_outputs(self.definition.count))

    def _guessed_loss(self) -> Lowered:
        """The gradient program for targets of the shape the loss expects."""
        wanted = [loss.target_type(kind) for loss, kind in zip(self.loss, self._kinds, strict=True)]
        return self._with_loss([target_kind(kind, *one) for kind, one in zip(self._kinds, wanted, strict=True)], [])

    def _with_loss(self, targets: list[TensorType], samples: list[Any]) -> Lowered:
        made = self.definition
        return self._lowered(
            ("loss", tuple(targets), tuple(samples)),
            lambda: for_loss(made.count, made.weights, self.loss, self.loss_weights, targets, samples),
        )

    def _pullback(self) -> Lowered:
        made = self.definition
        return self._lowered("pullback", lambda: for_cotangents(made.count, made.weights, self._state))

    def _nested(self, outputs: list[np.ndarray]) -> Any:
        structure = self.definition.outputs
        if isinstance(structure, Mapping):
            return tree.pack_sequence_as(structure, outputs)
        return outputs[0] if not tree.is_nested(structure) else outputs

    def __reduce__(self) -> Any:
        return Executable, (self.definition, self.options, self.loss, self.loss_weights)


_all: WeakSet[Executable] = WeakSet()


def _new_locks() -> None:
    """In the child of a fork: a thread that was compiling is not there, and what it had begun is not used."""
    for one in _all:
        one._lock = threading.RLock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_new_locks)
