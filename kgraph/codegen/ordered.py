"""Kernels whose order of loops is their meaning: running reductions, scatter, and the checks of indices."""

from __future__ import annotations

from kgraph.codegen.kernel import LOOP_NAMES, Accumulator, Check, Kernel, Parameter, Running, Scatter, Store
from kgraph.codegen.source import index_text
from kgraph.codegen.task import CHUNK, Task, estimate, renamed_loops, stored
from kgraph.codegen.values import constructor
from kgraph.index import Index, Loop, flatten, index, unflatten
from kgraph.op import OPS
from kgraph.sizes import Dim, axes_of, axis, product, rename_axes
from kgraph.types import TensorType


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
    store = Store("out", values.address(kind, at), stored("a0", kind.dtype))
    one = loops.pop(axis)
    schedule = Running(tuple(renamed_loops(loops, task)), renamed_loops([one], task)[0], accumulator, store)
    extent = product(loop.extent for loop in loops)
    return task.kernel(schedule, extent, CHUNK // estimate(one.extent), {"a0": node.name})


def scatter(task: Task, strip: int) -> Kernel:
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
    op = OPS[node.op]
    assert op.combine is not None
    schedule = Scatter(
        outer=tuple(renamed_loops(loops, task)),
        column=renamed_loops([column], task)[0],
        axis=renamed_loops([axis_loop], task)[0],
        position=renamed_loops([position], task)[0],
        base=values.element(base, at),
        index=f"int64({values.element(indices, index_at)})",
        update=values.element(updates, [*at[:axis], *index_at, *at[axis + 1 :]]),
        address=index_text(_renamed(flatten(at, kind.shape), task)),
        combine=op.combine if kind.dtype != "bool" else f"bool_({op.combine})",  # not the number of them
        dtype=kind.dtype,
    )
    extent = product(loop.extent for loop in loops) * ((column.extent + (strip - 1)) // strip)
    return task.kernel(schedule, extent, 1, values.stems)


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
