"""numba as a front end: it types and lowers printed kernels and scalar functions, and LLVM's text comes out.

numba's own CPU target optimises every function before anything else sees it, and knows arrays, containers and SciPy.
Kernels know only numbers, pointers and loops, and are optimised once, by whoever makes the object file. So they are a
target of their own, made with numba's interface for targets: a context, a short list of passes, libraries that are
text. Imported only when a kernel is compiled.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import lru_cache
from typing import Any

from llvmlite import ir
from numba.core import cgutils, codegen, compiler, cpu, fastmathpass, target_extension, types, typing
from numba.core.compiler_lock import global_compiler_lock
from numba.core.compiler_machinery import PassManager
from numba.core.datamodel import register_default
from numba.core.datamodel.models import OpaqueModel
from numba.core.errors import TypingError
from numba.core.imputils import builtin_registry, lower_builtin
from numba.core.typed_passes import NativeLowering, NopythonTypeInference, PreLowerStripPhis
from numba.core.typing import mathdecl, npydecl
from numba.core.typing.templates import AbstractTemplate, make_concrete_template
from numba.core.untyped_passes import FixupArgs, IRProcessing, ReconstructSSA, TranslateByteCode
from numba.core.utils import pysignature
from numba.cpython import builtins, mathimpl, numbers, rangeobj, tupleobj  # noqa: F401  they register what they know
from numba.np import npyimpl

from kgraph.codegen.cpu import lowering
from kgraph.codegen.native.host import host

TARGET = "kgraph"
STEPS = (  # of numba's own, those that plain loops over numbers need
    TranslateByteCode,
    FixupArgs,
    IRProcessing,
    ReconstructSSA,
    NopythonTypeInference,
    PreLowerStripPhis,
    NativeLowering,
)


class Library(codegen.CodeLibrary):
    """What one function is lowered into: a module of llvmlite's, and the libraries of what it calls."""

    def __init__(self, owner: Codegen, name: str) -> None:
        super().__init__(owner, name)
        self.modules: list[ir.Module] = []
        self.callees: list[Library] = []

    def add_ir_module(self, module: ir.Module) -> None:
        self.modules.append(module)

    def add_linking_library(self, library: Library) -> None:
        self.callees.append(library)

    def needed(self) -> Iterator[Library]:
        """What it calls, directly or not; some may come twice."""
        for library in self.callees:
            yield library
            yield from library.needed()

    @property
    def text(self) -> str:
        """LLVM's text of the functions in it, which others may have too."""
        for module in self.modules:
            for function in module.functions:
                if not function.is_declaration:
                    function.linkage = "linkonce_odr"
        return "\n".join(map(str, self.modules))

    def finalize(self) -> None:
        """Nothing: whoever makes the object file links and optimises."""

    def get_function(self, name: str) -> Any:
        raise NotImplementedError

    get_llvm_str = get_asm_str = lambda self: self.text


class Codegen(codegen.Codegen):
    """Makes libraries for this machine."""

    _library_class = Library

    def __init__(self) -> None:
        machine = host().target_machine()
        self._target_data = machine.target_data
        self._data_layout, self._triple = str(machine.target_data), machine.triple

    def _create_empty_module(self, name: str) -> ir.Module:
        module = ir.Module(cgutils.normalize_ir_text(name))
        module.triple, module.data_layout = self._triple, self._data_layout
        return module

    def _add_module(self, module: Any) -> None:
        raise NotImplementedError


class Remembering(types.Function):
    """A function that knows the types of the calls it has seen: numba asks when it types a call, and again, several
    times, when it lowers it."""

    def __init__(self, templates: Any) -> None:
        super().__init__(templates)
        self._known: dict[tuple[types.Type, ...], typing.Signature] = {}

    def get_call_type(self, context: Any, args: Any, kws: Any) -> typing.Signature:
        if kws:
            return super().get_call_type(context, args, kws)
        if args not in self._known:
            self._known[args] = super().get_call_type(context, args, kws)
        return self._known[args]

    def augment(self, other: Any) -> Remembering:
        return Remembering((*self.templates, *other.templates))


class View(AbstractTemplate):
    """x.view(dtype): the same bits as another number. numba's own would be shared with the user's numba, since types
    of methods are, and would then be compiled for the wrong one of the two."""

    key = "kgraph.view"

    def generic(self, args: Any, kws: Any) -> typing.Signature:
        number, kind = self.this, args[0].dtype
        if number.bitwidth != kind.bitwidth:
            raise TypingError(f"a view of {number} as {kind} would be of another size")
        return typing.signature(kind, *args, recvr=number)


@lower_builtin(View.key, types.Number, types.DTypeSpec)
def lower_view(context: Context, builder: ir.IRBuilder, signature: typing.Signature, args: Any) -> ir.Value:
    """One bitcast."""
    return builder.bitcast(args[0], context.get_value_type(signature.return_type))


class Typing(typing.Context):
    """The types of calls."""

    def load_additional_registries(self) -> None:
        self.install_registry(mathdecl.registry)
        self.install_registry(npydecl.registry)

    def resolve_getattr(self, kind: types.Type, attr: str) -> Any:
        if attr == "view" and isinstance(kind, types.Number):
            return types.BoundFunction(View, kind)
        return super().resolve_getattr(kind, attr)

    def insert_global(self, value: Any, kind: types.Type) -> None:
        super().insert_global(value, Remembering(kind.templates) if type(kind) is types.Function else kind)


class Context(cpu.CPUContext):
    """How calls are lowered."""

    def init(self) -> None:
        self.is32bit = False
        self._internal_codegen = Codegen()
        self.install_registry(builtin_registry)  # the first, since numba puts intrinsics there then

    def load_additional_registries(self) -> None:
        self.install_registry(mathimpl.registry)
        self.install_registry(npyimpl.registry)
        self.install_registry(lowering.registry)  # the last, so that it is in place of numba's own

    @property
    def call_conv(self) -> lowering.Plain:
        return lowering.Plain(self)

    @lru_cache(maxsize=256)  # noqa: B019  there is one context, and LLVM is asked each time
    def get_abi_sizeof(self, kind: ir.Type) -> int:
        return super().get_abi_sizeof(kind)

    def declare_env_global(self, module: ir.Module, envname: str) -> None:
        """No kernel has Python objects."""

    def post_lowering(self, module: ir.Module, library: Library) -> None:
        if self.fastmath:
            fastmathpass.rewrite_module(module, self.fastmath)


class Kernels(target_extension.CPU):
    """The name of the target."""


class Description:
    """Where numba finds the contexts of the target."""

    @property
    def typing_context(self) -> Any:
        return contexts()[0]

    @property
    def target_context(self) -> Any:
        return contexts()[1]


class Pipeline(compiler.CompilerBase):
    """The passes."""

    def define_pipelines(self) -> list[PassManager]:
        manager = PassManager(TARGET)
        for step in STEPS:
            manager.add_pass(step, step.__name__)
        manager.finalize()
        return [manager]


class Scalar:
    """A Python function that kernels call; compiled for the types that it is called with, and always inlined."""

    targetdescr = Description()
    is_compiling = False

    def __init__(self, function: Callable[..., Any]) -> None:
        self.py_func, self.signature = function, pysignature(function)
        self.made: dict[tuple[types.Type, ...], typing.Signature] = {}

    @property
    def _numba_type_(self) -> types.Type:
        return types.Dispatcher(self)  # type: ignore[type-var]

    def get_call_template(self, args: Sequence[types.Type], kws: dict[str, types.Type]) -> tuple[Any, ...]:
        """What numba asks of a compiled function before a call to it is typed."""
        assert not kws, f"{self.py_func.__name__} takes its arguments by position"
        kinds = tuple(map(types.unliteral, args))  # type: ignore[attr-defined]
        if kinds not in self.made:
            made = lowered(self.py_func, kinds, None, fastmath={"contract"}, forceinline=True)
            contexts()[1].insert_user_function((self, kinds), made.description, [made.library])
            self.made[kinds] = made.signature
        name = self.py_func.__name__
        return make_concrete_template(name, self.py_func, [self.made[kinds]]), self.signature, kinds, kws

    def get_overload(self, kinds: Sequence[types.Type]) -> Any:
        """What it asks when the call is lowered."""
        return self, tuple(kinds)


class Lowering:
    """A function with its types chosen, and its library."""

    def __init__(self, state: Any) -> None:
        self.library: Library = state.library
        self.description = state.cr.fndesc
        self.signature = typing.signature(state.return_type, *state.args)

    @property
    def function(self) -> ir.Function:
        """The function in its module."""
        return self.library.modules[0].get_global(self.description.mangled_name)


register_default(Remembering)(OpaqueModel)  # as for any function: it is not there when kernels run
target_extension.target_registry[TARGET] = Kernels
target_extension.dispatcher_registry[Kernels] = Scalar
target_extension.jit_registry[Kernels] = lambda **options: Scalar


@lru_cache(maxsize=1)
def contexts() -> tuple[Typing, Context]:
    """How this process types kernels, and how it lowers them."""
    known = Typing()
    return known, Context(known, TARGET)


def lowered(
    function: Callable[..., Any], args: Sequence[types.Type], result: types.Type | None, **options: Any
) -> Lowering:
    """Type a function for these arguments, and lower it; result None: what it returns is found out."""
    flags = compiler.Flags()
    flags.no_compile = flags.no_cpython_wrapper = flags.no_cfunc_wrapper = True
    flags.error_model = "numpy"
    for name, value in options.items():
        setattr(flags, name, value)
    with global_compiler_lock, target_extension.target_override(TARGET):
        pipeline = Pipeline(*contexts(), None, tuple(args), result, flags, {})
        pipeline.compile_extra(function)
    return Lowering(pipeline.state)
