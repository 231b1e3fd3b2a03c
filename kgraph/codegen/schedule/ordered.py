"""Kernels whose order of loops is their meaning: running reductions, scatter, and the checks of indices."""

from __future__ import annotations

from dataclasses import replace

from kgraph.codegen.schedule.kernel import (
    LOOP_NAMES,
    Accumulator,
    Check,
    Kernel,
    Parameter,
    Running,
    Scatter,
    Sort,
    Store,
)
from kgraph.codegen.schedule.source import index_text
from kgraph.codegen.schedule.task import CHUNK, Task, estimate, renamed_loops
from kgraph.codegen.schedule.values import constructor, stored
from kgraph.graph.index import Index, Loop, flatten, index, unflatten
from kgraph.graph.op import OPS
from kgraph.graph.sizes import Dim, axes_of, axis, product, rename_axes
from kgraph.graph.types import TensorType

SORTED = 16  # columns from which on it pays to sort the indices, for
TEAM = 3  # threads or more: one or two are as fast in the order of the indices, in which memory reads ahead
NARROW, WIDE = 64, 1024  # columns of a scatter that a thread looks after at a time


def run_along(task: Task) -> Kernel:
    """cumsum, cumprod."""
    node = task.root
    op, kind, axis = OPS[node.op], node.tensor, node.attrs["axis"]
    loops = [Loop(LOOP_NAMES[number], size) for number, size in enumerate(kind.shape)]
    at, values = [index(loop) for loop in loops], task.values()
    text = values.element(task.body.arguments(node.name)[0], at)
    assert op.initial is not None and op.combine is not None
    initial = op.initial.format(T=constructor(kind.dtype))
    accumulator = Accumulator("a0", kind.dtype, initial, op.combine, text)
    store = Store("out", task.address(values, "out", at), stored("a0", kind.dtype))
    one = loops.pop(axis)
    schedule = Running(tuple(renamed_loops(loops, task)), renamed_loops([one], task)[0], accumulator, store)
    extent = product(loop.extent for loop in loops)
    return task.kernel(schedule, extent, CHUNK // estimate(one.extent), {"a0": node.name})


def scatter(task: Task) -> Kernel:
    """scatter_add, scatter_set: strips of columns in parallel, the updates of each in the order of the indices."""
    node, values = task.root, task.values()
    base, indices, updates = task.body.arguments(node.name)
    kind, axis = node.tensor, node.attrs["axis"]
    places = task.body[indices].tensor
    loops = [Loop(LOOP_NAMES[number], size) for number, size in enumerate(kind.shape)]
    position = Loop("position", product(places.shape))
    at: list[Index] = [index(loop) for loop in loops]
    index_at = unflatten(index(position), places.shape)
    axis_loop = loops.pop(axis)
    column = loops.pop() if loops else Loop("z", 1)
    last = axis + 1 == kind.rank  # columns are then strides apart, else neighbours
    strip = NARROW if last else WIDE
    op = OPS[node.op]
    assert op.combine is not None
    moving: list[Index] = [*at[:axis], *index_at, *at[axis + 1 :]]
    schedule = Scatter(
        outer=tuple(renamed_loops(loops, task)),
        column=renamed_loops([column], task)[0],
        strip=strip,
        axis=renamed_loops([axis_loop], task)[0],
        position=renamed_loops([position], task)[0],
        base=values.element(base, at),
        index=f"int64({values.element(indices, index_at)})",
        update=values.element(updates, moving),
        address=index_text(_renamed(flatten(at, kind.shape), task)),
        combine=op.combine if kind.dtype != "bool" else f"bool_({op.combine})",  # not the number of them
        dtype=kind.dtype,
        source=(values.parameters.get(updates, ""), values.address(task.body[updates].tensor, moving)),
    )
    extent = product(loop.extent for loop in loops) * ((column.extent + (strip - 1)) // strip)
    return task.kernel(schedule, extent, 1, values.stems)


def by_place(task: Task, kernel: Kernel) -> Kernel | None:
    """The kernel of a scatter that is given its updates by the place they go to: places are done in parallel then.

    None for other kernels, and where that does not pay. It takes the ends and positions of `sorting` after its own.
    """
    found = kernel.schedule
    if not isinstance(found, Scatter) or found.strip != WIDE or estimate(found.column.extent) < SORTED:
        return None
    if not set(task.body.arguments(task.root.name)[1:]) <= set(task.body.inputs):
        return None
    more = Parameter("ends", "int32"), Parameter("order", "int32")
    extent = product(loop.extent for loop in (*found.outer, found.axis))
    return replace(
        kernel,
        parameters=(*kernel.parameters, *more),
        schedule=replace(found, is_sorted=True),
        extent=extent,
        grain=max(1, CHUNK // 4 // estimate(found.column.extent)),
    )


def sorting(indices: TensorType, bound: Dim) -> tuple[Kernel, tuple[Dim, ...]]:
    """The kernel that sorts the positions of indices into an axis of size `bound`, and the sizes it takes."""
    axes = tuple(sorted(axes_of((indices.shape, bound))))
    names = {name: f"n{number}" for number, name in enumerate(axes)}
    size, bound = rename_axes((product(indices.shape), bound), names)
    schedule = Sort(Loop("i", size), Loop("j", bound), "in0[i]")
    parameters = Parameter("in0", indices.dtype), Parameter("ends", "int32"), Parameter("order", "int32")
    return Kernel(parameters, tuple(names.values()), schedule, 1, 1, "float32"), tuple(map(axis, axes))


def checking(indices: TensorType, bound: Dim, wraps: bool) -> tuple[Kernel, tuple[Dim, ...]]:
    """Whether every index points into an axis of size `bound`; negative ones count from its end where that is meant.

    Returns the kernel, and the sizes it takes.
    """
    axes = tuple(sorted(axes_of((indices.shape, bound))))
    names = {name: f"n{number}" for number, name in enumerate(axes)}
    size, bound = rename_axes((product(indices.shape), bound), names)
    schedule = Check(Loop("i", size), "in0[i]", bound * -1 if wraps else 0, bound)
    parameters = (Parameter("in0", indices.dtype),)
    return Kernel(parameters, tuple(names.values()), schedule, size, CHUNK, "float32"), tuple(map(axis, axes))


def _renamed(place: Index, task: Task) -> Index:
    terms = tuple((atom, rename_axes(factor, task.names)) for atom, factor in place.terms)
    return Index(terms, rename_axes(place.offset, task.names))
