"""Printed CUDA text becomes machine code, with or without a GPU: all that kgraph asks of numba-cuda's compiler.

numba-cuda types the text and NVVM makes PTX of it; nvJitLink makes the cubin, which drivers older than the toolkit load
too, and reports registers and spills. Nothing here asks for a device: helpers are inlined while numba types the kernel,
for to compile them apart it would ask the current device what it can do.
"""

from __future__ import annotations

import linecache
import math
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from hashlib import sha256
from importlib import import_module
from types import MappingProxyType, SimpleNamespace
from typing import Any

from kgraph.codegen.cuda.halves import intrinsics
from kgraph.codegen.scalars.binding import rebound
from kgraph.errors import MissingExtraError
from kgraph.graph.types import memory_dtype

_NUMBERS = ("float32", "float64", "int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64")


@dataclass(frozen=True)
class Compiled:
    """A kernel as a GPU of one compute capability loads it, and what it costs there."""

    entry: str  # its name in the cubin
    ptx: str
    cubin: bytes
    registers: int  # of one thread
    spills: int  # bytes of one thread that found no register

    @property
    def has_float64(self) -> bool:
        """Whether it computes in float64, which is 64 times slower than float32 on most GPUs."""
        return ".f64" in self.ptx


def compile_kernel(
    source: str,
    name: str,
    argument_types: Sequence[str],
    compute_capability: tuple[int, int] = (9, 0),
    helpers: Mapping[str, Callable[..., Any]] = MappingProxyType({}),
    threads: int | None = None,
) -> Compiled:
    """Compile the function `name` of a printed source. Argument types are "float32*", "bool*", "int64".

    threads is the size of the largest block it is launched with: so many threads get registers enough.
    """
    tools = _tools()
    function = _function(source, name, helpers, tools, intrinsics(tools, compute_capability))
    types = tuple(_argument_type(text, tools) for text in argument_types)
    ptx, _ = tools.cuda.compile(
        function, types, cc=compute_capability, device=False, abi="numba", launch_bounds=threads
    )
    ptx = _with_entry(ptx, name)
    cubin, report = _link(ptx, compute_capability, tools)
    return Compiled(name, ptx, cubin, _number(r"Used (\d+) registers", report), _number(r"(\d+) bytes spill", report))


@lru_cache(maxsize=1)
def _tools() -> SimpleNamespace:
    """The packages of the extra, and the language of kernels in their terms."""
    try:
        import_module("numba_cuda")  # without it numba.cuda is numba's own old target
        from cuda.core import Linker, LinkerOptions, ObjectCode
        from numba import cuda
        from numba.cuda import nvvmutils, types
        from numba.cuda.extending import intrinsic
        from numba.cuda.typing import signature
    except ImportError as error:
        raise MissingExtraError("CUDA kernels are compiled by numba-cuda: pip install kgraph[cuda]") from error

    tools = SimpleNamespace(cuda=cuda, types=types, nvvmutils=nvvmutils, intrinsic=intrinsic, signature=signature)
    tools.Linker, tools.LinkerOptions, tools.ObjectCode = Linker, LinkerOptions, ObjectCode
    tools.language = {name: getattr(types, name) for name in _NUMBERS}
    tools.language |= {"cuda": cuda, "math": math, "atomic_add": _atomic_add(tools)}
    tools.language |= {"bool_": types.boolean, "inf": math.inf, "nan": math.nan}
    return tools


def _atomic_add(tools: SimpleNamespace) -> Any:
    """cuda.atomic.add for raw pointers too, which numba-cuda's own does not take."""
    types, nvvmutils = tools.types, tools.nvvmutils
    floats = {types.float32: nvvmutils.declare_atomic_add_float32, types.float64: nvvmutils.declare_atomic_add_float64}

    def emit(context: Any, builder: Any, typed: Any, arguments: Any) -> Any:
        array, index, value = arguments
        holder = typed.args[0]
        if isinstance(holder, types.Array):
            array = context.make_array(holder)(context, builder, array).data
        place = builder.gep(array, [index])
        if holder.dtype in floats:
            return builder.call(floats[holder.dtype](builder.module), (place, value))
        return builder.atomic_rmw("add", place, value, "monotonic")

    @tools.intrinsic
    def atomic_add(typing_context, array, index, value):  # type: ignore[no-untyped-def]
        return tools.signature(array.dtype, array, types.int64, array.dtype), emit

    return atomic_add


def _function(
    source: str,
    name: str,
    helpers: Mapping[str, Callable[..., Any]],
    tools: SimpleNamespace,
    halves: Mapping[str, Any],
) -> Any:
    """The kernel as a Python function; numba's messages quote its lines from linecache."""
    file = f"<cuda {name} {sha256(source.encode()).hexdigest()[:12]}>"
    linecache.cache[file] = (len(source), None, source.splitlines(True), file)
    namespace = rebound({**tools.language, **halves}, helpers, tools.cuda.jit(device=True, inline="always"))
    ours = source.replace("cuda.atomic.add(", "atomic_add(").replace("cuda.mma_", "mma_")  # than numba-cuda has
    exec(compile(ours, file, "exec"), namespace)
    return namespace[name]


def _argument_type(text: str, tools: SimpleNamespace) -> Any:
    """numba's type of "float32*" or "int64", for the elements as memory holds them."""
    kind = getattr(tools.types, memory_dtype(text.removesuffix("*")))
    return tools.types.CPointer(kind) if text.endswith("*") else kind


def _with_entry(ptx: str, name: str) -> str:
    """The PTX with its kernel called `name`, and not what numba made of the name and the types."""
    mangled = re.findall(r"\.visible \.entry ([\w$]+)", ptx)
    assert len(mangled) == 1, f"{name}: one kernel was asked for, and the PTX has {mangled}"
    return re.sub(rf"(?<![\w$]){re.escape(mangled[0])}(?![\w$])", name, ptx)


def _link(ptx: str, compute_capability: tuple[int, int], tools: SimpleNamespace) -> tuple[bytes, str]:
    """The cubin, and what ptxas says of it."""
    architecture = "sm_{}{}".format(*compute_capability)
    options = tools.LinkerOptions(arch=architecture, verbose=True, ptxas_options=["-v"])
    linker = tools.Linker(tools.ObjectCode.from_ptx(ptx.encode()), options=options)
    cubin = linker.link("cubin").code
    return cubin, linker.get_info_log()


def _number(pattern: str, report: str) -> int:
    found = re.search(pattern, report)
    assert found, f"ptxas reports no {pattern!r}: {report}"
    return int(found[1])
