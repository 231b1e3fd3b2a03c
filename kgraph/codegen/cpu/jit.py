"""Printed kernels become machine code: numba types and lowers them, LLVM optimises, the disk keeps the object file.

numba is imported only when a kernel is not in the cache. An object exports one function, `long kernel_...(long *args,
long begin, long end)`: pointers and sizes are read from args, so that every kernel is called in the same way.
"""

from __future__ import annotations

import gc
import linecache
import os
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property, lru_cache, partial
from hashlib import sha256
from typing import TYPE_CHECKING, Any

from llvmlite import ir

from kgraph import config
from kgraph.codegen.cpu import printer
from kgraph.codegen.cpu.packing import native_packer
from kgraph.codegen.native import emit, objects
from kgraph.codegen.native.emit import I64, PTR
from kgraph.codegen.native.host import host
from kgraph.codegen.native.parts import LIBRARY, Part, part_of
from kgraph.codegen.native.runtime import missing, need, runtime
from kgraph.codegen.native.store import Store, package
from kgraph.codegen.native.tile import tile_name
from kgraph.codegen.progress import Progress
from kgraph.codegen.scalars.binding import rebound
from kgraph.codegen.scalars.table import scalars
from kgraph.codegen.schedule.kernel import Kernel
from kgraph.graph.types import memory_dtype

if TYPE_CHECKING:
    from concurrent.futures import Future

    from kgraph.codegen.native.workshop import Workshop

ENTRY = "kernel"
FASTMATH = {"contract", "nsz"}  # only sums of many elements may be reordered: see intrinsics.added
KERNELS_A_COLLECTION = 50
_loaded: dict[str, int] = {}
_lock = threading.RLock()
if hasattr(os, "register_at_fork"):  # a child must not inherit it from a thread that compiles and is not there
    os.register_at_fork(before=_lock.acquire, after_in_parent=_lock.release, after_in_child=_lock.release)


@dataclass(frozen=True)
class Wanted:
    """A kernel whose machine code is wanted, and what makes its text with the graph's names, for tracebacks."""

    kernel: Kernel
    shown: Callable[[], str]

    @cached_property
    def symbol(self) -> str | None:
        """The runtime's function that does what the kernel would, if there is one."""
        packer = native_packer(self.kernel)
        return packer.name if packer else None

    @property
    def calls(self) -> list[str]:
        """The functions of the runtime that it needs."""
        tiles = {tile_name(one.dtype, one.vectors) for one in self.kernel.products}
        return [self.symbol] if self.symbol else sorted(tiles)

    @cached_property
    def definition(self) -> str:
        """What tells the kernel from others."""
        return definition(self.kernel)

    @property
    def key(self) -> str:
        """What the machine code depends on: the kernel, the processor, and this package."""
        return "\n".join([host().signature(), package(), self.definition])


def addresses_of(wanted: Sequence[Wanted]) -> list[int]:
    """The addresses of the kernels' machine code. What neither this process nor the disk has is compiled now."""
    names = [name for one in wanted for name in one.calls]
    keys = ["" if one.symbol else one.key for one in wanted]
    with _lock:
        fresh = {key: one for key, one in zip(keys, wanted, strict=True) if key and key not in _loaded}
        store = Store(config.cache_dir())
        codes = {key: code for key in fresh if (code := store.get(key)) is not None}
        made = _compiled({key: one for key, one in fresh.items() if key not in codes}, names)
        for key, code in made.items():
            store.put(key, code)
        codes |= made
        entries = {key: entry_of(fresh[key].definition) for key in codes}
        addresses = objects.load_all(list(codes.values()), list(entries.values()))
        _loaded.update({key: addresses[name] for key, name in entries.items()})
        symbols = runtime().symbols
        return [symbols[one.symbol] if one.symbol else _loaded[key] for key, one in zip(keys, wanted, strict=True)]


def shared_objects(wanted: Sequence[Wanted]) -> list[bytes]:
    """The object files of a shared library with these kernels: theirs, and those of the runtime, but for its entry.

    A kernel is the function `name_of` it. What the disk does not have is compiled now.
    """
    parts = dict.fromkeys((LIBRARY, *(part_of(name) for one in wanted for name in one.calls)))
    texts: dict[str, Callable[[], tuple[Any, ...]]] = {f"{part.key} shared": partial(_of_part, part) for part in parts}
    texts |= {f"{one.key}\nshared": partial(_of_kernel, one) for one in wanted if not one.symbol}
    store = Store(config.cache_dir())
    with _lock:
        codes = {key: code for key in texts if (code := store.get(key)) is not None}
        lacking = [key for key in texts if key not in codes]
        if lacking:
            from kgraph.codegen.native.workshop import Workshop

            with Workshop(len(lacking), True) as shop, Progress(len(lacking)) as progress, without_collection():
                coming = _handed_in(shop, {key: texts[key] for key in lacking}, progress)
                made = {key: future.result() for key, future in coming.items()}
            for key, code in made.items():
                store.put(key, code)
            codes |= made
    return [codes[key] for key in texts]


def _of_part(part: Part) -> tuple[str, bool, int]:
    return part.text(), False, part.level


def _of_kernel(one: Wanted) -> tuple[list[str], bool]:
    return texts_of(one.kernel, one.shown()), printer.unrolled(one.kernel)


def name_of(wanted: Wanted) -> str:
    """The function that does what a kernel does."""
    return wanted.symbol or entry_of(wanted.definition)


def _compiled(wanted: dict[str, Wanted], names: list[str]) -> dict[str, bytes]:
    """The object files of kernels, by key; the runtime's functions that are named have been loaded."""
    parts = missing(names)
    if not parts and not wanted:
        need(names)
        return {}
    from kgraph.codegen.native.workshop import Workshop

    with Workshop(len(parts) + len(wanted)) as shop, Progress(len(wanted)) as progress, without_collection():
        made = {part: shop.submit(*_of_part(part)) for part in parts}
        coming = _handed_in(shop, {key: partial(_of_kernel, one) for key, one in wanted.items()}, progress)
        need(names, made)
        return {key: future.result() for key, future in coming.items()}


def _handed_in(
    shop: Workshop, texts: Mapping[str, Callable[[], tuple[Any, ...]]], progress: Progress
) -> dict[str, Future[bytes]]:
    """The object files to come, by key. While some are made, the next text is."""
    coming = {}
    for number, (key, text) in enumerate(texts.items(), 1):
        progress.reached(number)
        coming[key] = shop.submit(*text())
        if number % KERNELS_A_COLLECTION == 0:
            gc.collect()
    return coming


@contextmanager
def without_collection() -> Iterator[None]:
    """Python's search for garbage costs a quarter of numba's time, and finds a megabyte for each kernel."""
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()


def definition(kernel: Kernel) -> str:
    """What tells a kernel from others: its text, the types of what is in it, and how it is compiled."""
    types = ",".join(parameter.dtype for parameter in kernel.parameters)
    return "\n".join([kernel.dtype, types, f"unroll={printer.unrolled(kernel)}", printer.source(kernel)])


def entry_of(definition: str) -> str:
    """The name of the function in its object file: of no other kernel, so that they can be loaded together."""
    return f"kernel_{sha256(definition.encode()).hexdigest()[:16]}"


def function_of(kernel: Kernel, text: str, shown: str) -> Callable[..., int]:
    """The kernel as a Python function; its text is known to linecache, so tracebacks and pdb show it."""
    file = f"<kgraph {sha256(shown.encode()).hexdigest()[:12]}>"
    linecache.cache[file] = (len(shown), None, shown.splitlines(True), file)
    names = _namespace(kernel.dtype)
    exec(compile(text, file, "exec"), names)
    return names[ENTRY]


@lru_cache(maxsize=8)
def _language(dtype: str) -> dict[str, Any]:
    """What the names in a kernel mean. Scalar functions are inlined always, else loops around many stay scalar."""
    from kgraph.codegen.cpu import frontend, intrinsics

    helpers = {name: one for name, one in scalars(dtype).items() if name not in intrinsics.NAMES}
    return rebound(intrinsics.NAMES, helpers, frontend.Scalar)


def _namespace(dtype: str) -> dict[str, Any]:
    return dict(_language(dtype))


def assembly_of(kernel: Kernel, shown: str) -> str:
    """The kernel's assembly."""
    return objects.assemble(texts_of(kernel, shown), printer.unrolled(kernel))


def llvm_of(kernel: Kernel, shown: str) -> str:
    """The kernel, its entry point and what it calls as LLVM's text, not yet optimised."""
    return objects.linked(texts_of(kernel, shown))


def texts_of(kernel: Kernel, shown: str) -> list[str]:
    """The kernel with its entry point as LLVM's text, then each scalar function that it needs."""
    from numba.core import types

    from kgraph.codegen.cpu import frontend

    pointers = [types.CPointer(getattr(types, memory_dtype(one.dtype))) for one in kernel.parameters]  # type: ignore[attr-defined]
    arguments = (*pointers, *[types.int64] * (len(kernel.sizes) + 2))
    function = function_of(kernel, printer.source(kernel), shown)
    made = frontend.lowered(function, arguments, types.int64, fastmath=FASTMATH)
    add_entry(made.function, entry_of(definition(kernel)), len(kernel.parameters))
    others = dict.fromkeys(made.library.needed())
    return [str(made.function.module), *(library.text for library in others)]


def add_entry(body: ir.Function, name: str, pointers: int) -> None:
    """Add `name(args, begin, end)` to the module; pointers are said not to overlap, as the plan sees to."""
    body.linkage = "internal"
    for one in body.args[:pointers]:
        one.add_attribute("noalias")
    entry, build = emit.function(body.module, name, I64, [PTR, I64, I64])
    args, *part = entry.args
    passed = [build.load(emit.at(build, args, slot), typ=one.type) for slot, one in enumerate(body.args[:-2])]
    build.ret(build.call(body, [*passed, *part]))
