"""Printed kernels become machine code: numba types and lowers them, LLVM optimises, the disk keeps the object file.

numba is imported only when a kernel is not in the cache. An object exports one function, `long kernel(long *args,
long begin, long end)`: pointers and sizes are read from args, so that every kernel is called in the same way.
"""

from __future__ import annotations

import linecache
import os
import re
import threading
from collections.abc import Callable
from functools import lru_cache
from hashlib import sha256
from typing import Any

from kgraph import config
from kgraph.codegen import cpu
from kgraph.codegen.cubin import rebound
from kgraph.codegen.kernel import Kernel, Product
from kgraph.codegen.native import objects
from kgraph.codegen.native.host import host
from kgraph.codegen.native.runtime import need_tiles
from kgraph.codegen.native.store import Store, package
from kgraph.codegen.scalars import scalars

ENTRY = "kernel"
FASTMATH = {"contract", "nsz"}  # only sums of many elements may be reordered: see intrinsics.added
_loaded: dict[str, int] = {}
_lock = threading.RLock()
if hasattr(os, "register_at_fork"):  # a child must not inherit it from a thread that compiles and is not there
    os.register_at_fork(before=_lock.acquire, after_in_parent=_lock.release, after_in_child=_lock.release)


def address_of(kernel: Kernel, shown: str) -> int:
    """The address of the kernel's machine code, compiled now if neither this process nor the disk has it."""
    text = cpu.source(kernel)
    key = key_of(kernel, text)
    with _lock:
        if key not in _loaded:
            if isinstance(kernel.schedule, Product):
                need_tiles(kernel.schedule.dtype)
            store = Store(config.cache_dir())
            code = store.get(key)
            if code is None:
                code = objects.compile_ir(llvm_of(kernel, shown))
                store.put(key, code)
            _loaded[key] = objects.load(code, [ENTRY])[ENTRY]
        return _loaded[key]


def key_of(kernel: Kernel, text: str) -> str:
    """What the machine code depends on: the text, the types, the processor, and this package."""
    types = ",".join(parameter.dtype for parameter in kernel.parameters)
    return "\n".join([host().signature(), package(), kernel.dtype, types, text])


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
    from numba import njit

    from kgraph.codegen import intrinsics

    compiled = njit(error_model="numpy", fastmath={"contract"}, forceinline=True)
    helpers = {name: one for name, one in scalars(dtype).items() if name not in intrinsics.NAMES}
    return rebound(intrinsics.NAMES, helpers, compiled)


def _namespace(dtype: str) -> dict[str, Any]:
    return dict(_language(dtype))


def assembly_of(kernel: Kernel, shown: str) -> str:
    """The kernel's assembly."""
    return objects.assemble(llvm_of(kernel, shown))


def llvm_of(kernel: Kernel, shown: str) -> str:
    """The kernel and its entry point as LLVM's text, not yet optimised."""
    from numba.core import compiler, types
    from numba.core.registry import cpu_target

    flags = compiler.Flags()
    flags.no_compile = flags.no_cpython_wrapper = flags.no_cfunc_wrapper = True
    flags.error_model = "numpy"
    flags.fastmath = FASTMATH
    pointers = [types.CPointer(getattr(types, _stored(one.dtype))) for one in kernel.parameters]  # type: ignore[attr-defined]
    arguments = (*pointers, *[types.int64] * (len(kernel.sizes) + 2))
    function = function_of(kernel, cpu.source(kernel), shown)
    contexts = cpu_target.typing_context, cpu_target.target_context
    result = compiler.compile_extra(*contexts, function, arguments, types.int64, flags, locals={})
    module = result.library._final_module
    for library in result.library._linking_libraries:
        module.link_in(library._get_module_for_linking(), preserve=True)
    return with_entry(str(module), result.fndesc.mangled_name, len(kernel.parameters), len(kernel.sizes))


def _stored(dtype: str) -> str:
    return "uint8" if dtype == "bool" else dtype


def with_entry(module: str, mangled: str, pointers: int, sizes: int) -> str:
    """The module with `kernel(args, begin, end)`; pointers are said not to overlap, as the plan sees to."""
    module = re.sub(r"(define [^\n]*)\n", lambda line: line[0].replace("ptr %arg.", "ptr noalias %arg."), module)
    module = re.sub(
        rf'define (linkonce_odr |dso_local )*i32 @"?{re.escape(mangled)}"?\(',
        f"define internal i32 @{mangled}(",
        module,
    )
    kinds = ["ptr"] * pointers + ["i64"] * sizes
    lines = [
        f"define i64 @{ENTRY}(ptr %args, i64 %begin, i64 %end) {{",
        "  %result = alloca i64",
        "  %error = alloca ptr",
    ]
    for slot, kind in enumerate(kinds):
        lines.append(f"  %place{slot} = getelementptr i64, ptr %args, i64 {slot}")
        lines.append(f"  %value{slot} = load {kind}, ptr %place{slot}")
    passed = ", ".join(f"{kind} %value{slot}" for slot, kind in enumerate(kinds))
    lines.append(f"  call i32 @{mangled}(ptr %result, ptr %error, {passed}, i64 %begin, i64 %end)")
    return "\n".join([module, *lines, "  %status = load i64, ptr %result", "  ret i64 %status", "}", ""])
