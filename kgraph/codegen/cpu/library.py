"""A program as a shared library and a C header: its plan, kernels and weights, without Python."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np

from kgraph.codegen.cpu import jit
from kgraph.codegen.cpu.program import Program
from kgraph.codegen.native.header import Border, border, header, identifier
from kgraph.codegen.native.host import host
from kgraph.codegen.native.library import ALIGNMENT, Arena, Blueprint, Weight, library_ir
from kgraph.codegen.native.objects import compile_ir
from kgraph.codegen.native.optimise import LIGHT
from kgraph.codegen.plan.sharing import places
from kgraph.errors import ArgumentError, SavingError
from kgraph.graph.ir import Graph
from kgraph.graph.sizes import Dim, axes_of, resolve
from kgraph.graph.types import TensorType

MOST_BYTES = 1 << 30  # of weights: machine code reaches 2 GB
_KERNEL = 1 << 62  # code words from here on are kernels' numbers: no slot, count or grain is as large


def export(program: Program, path: Any, outputs: Sequence[str]) -> tuple[Path, Path]:
    """Write the library and its header; their paths. outputs: what the results are called.

    ArgumentError: it cannot be exported, or the path gives no name. SavingError: there is no such directory, or nothing
    that links. MissingExtraError: here is no linker.
    """
    place = _stem(path)
    made = _border(identifier(place.name), program.plan.graph, outputs)
    cpu = f"{host().machine} ({host().name or 'any'})"
    with _beside(place) as folder:
        (folder / "header").write_text(header(made, f"{place.name}.so", cpu, program.threads), encoding="utf-8")
        _build(program, made, folder, place.name)
        return _put(folder / "library", place, ".so"), _put(folder / "header", place, ".h")


def _stem(path: Any) -> Path:
    """The path without the suffix of a library or header."""
    place = Path(os.fspath(path))
    place = place.with_suffix("") if place.suffix in (".so", ".h") else place
    if not place.name:
        raise ArgumentError(f"export wants a path that ends in a name, such as 'build/policy', and got {str(path)!r}")
    if sys.platform != "linux":
        raise ArgumentError(f"export writes libraries for Linux; this is {sys.platform}")
    if not place.parent.is_dir():
        raise SavingError(f"there is no directory {place.parent} to write {place.name}.so into")
    for suffix in (".so", ".h"):
        if (one := _with(place, suffix)).is_dir():
            raise SavingError(f"{one} is a directory, and no place for a file")
    return place


def _with(place: Path, suffix: str) -> Path:
    return place.with_name(place.name + suffix)


def _border(name: str, graph: Graph, outputs: Sequence[str]) -> Border:
    if graph.updates:
        changed = ", ".join(graph.updates)
        raise ArgumentError(
            f"a call changes {changed}, and an exported library has no state; compile with training=False"
        )

    def typed(names: Iterable[str]) -> Iterator[tuple[str, TensorType]]:
        return ((one, graph[one].tensor) for one in names)

    results = [(one, kind) for one, (_, kind) in zip(outputs, typed(graph.outputs), strict=True)]
    return border(name, typed(graph.inputs), _axes(graph), results)


def _axes(graph: Graph) -> list[str]:
    """The axes that inputs have, in the order in which they are met."""
    dims = [dim for name in graph.inputs for dim in graph[name].tensor.shape]
    return list(dict.fromkeys(axis for dim in dims for axis in sorted(axes_of(dim))))


@contextmanager
def _beside(place: Path) -> Iterator[Path]:
    """A folder on the same file system, which is gone afterwards."""
    try:
        made = TemporaryDirectory(dir=place.parent, prefix=f".{place.name}-", ignore_cleanup_errors=True)
    except OSError as error:
        raise SavingError(f"nothing can be written into {place.parent}: {error.strerror}") from error
    with made as folder:
        yield Path(folder).resolve()


def _put(file: Path, place: Path, suffix: str) -> Path:
    """Put a file where it belongs, in one step."""
    with open(file, "rb") as written:
        os.fsync(written.fileno())
    os.replace(file, target := _with(place, suffix))
    return target


def _build(program: Program, made: Border, folder: Path, name: str) -> None:
    """Compile and link in this folder."""
    from kgraph.codegen.native import linker

    linker.check_name(made.name)
    linker.find()  # before anything is compiled for nothing
    code, kernels = program.marked(_KERNEL)
    arrays = program.frozen()
    data = folder / "weights"
    offsets = _written(arrays, data)
    names = [jit.name_of(one) for one in kernels]
    words = [names[word - _KERNEL] if word >= _KERNEL else word for word in code.tolist()]
    text = library_ir(_blueprint(program, made.name, words, offsets), str(data))
    objects = [*jit.shared_objects(kernels), compile_ir(text, False, LIGHT, True)]
    files = [f"{number}.o" for number in range(len(objects))]
    for file, payload in zip(files, objects, strict=True):
        (folder / file).write_bytes(payload)
    linker.link(folder, files, "library", f"{name}.so", made.name)


def _written(arrays: Mapping[str, np.ndarray], path: Path) -> dict[str, int]:
    """Write arrays to a file; the offset of each."""
    total = sum(array.nbytes for array in arrays.values())
    if total > MOST_BYTES:
        raise ArgumentError(f"export takes weights of {MOST_BYTES >> 20} MB at most; these have {total >> 20}")
    offsets = {}
    with open(path, "wb") as file:
        for name, array in arrays.items():
            offsets[name] = file.tell()
            file.write(array.tobytes())
            file.write(bytes(-file.tell() % ALIGNMENT))
    return offsets


def _blueprint(program: Program, name: str, code: Sequence[int | str], offsets: Mapping[str, int]) -> Blueprint:
    graph, slots = program.plan.graph, program.slots
    frame: list[int | Weight] = [0] * len(slots)
    sizes: dict[int, Dim] = {}
    for (kind, what), slot in slots.items():
        if kind == "words":
            frame[slot] = len(slots)
        elif kind == "buffer" and what in offsets:
            frame[slot] = Weight(offsets[what])
        elif kind in ("size", "stride"):
            if axes_of(what):
                sizes[slot] = what
            else:
                frame[slot] = int(resolve(what, {}))
    borders = [slots.get(("buffer", program.plan.root(one))) for one in (*graph.inputs, *graph.outputs)]
    count = len(graph.inputs)
    equal = [(one, other) for one, other, _ in graph.assumed]
    return Blueprint(
        name, _axes(graph), equal, borders[:count], borders[count:], code, len(program.plan.steps), program.threads,
        frame, sizes, program.plan.cut.derived if program.plan.cut else {}, _arena(program),
    )  # fmt: skip


def _arena(program: Program) -> Arena:
    plan, slots = program.plan, program.slots
    shared = [[(slots["buffer", name], plan.buffers[name].bytes) for name in place] for place in places(plan)]
    if plan.cut is None:
        return Arena(shared)
    return Arena(shared, plan.cut.axis, plan.cut.most, plan.cut.parts, slots["room", 0], program.threads)
