"""Objects: compile, load, and call one from another."""

from __future__ import annotations

import ctypes
import threading

import pytest
from llvmlite import ir

from kgraph.codegen.native import emit, objects
from kgraph.codegen.native.emit import I64, number


def module_that_adds(name: str, amount: int) -> str:
    module = ir.Module(name)
    made, build = emit.function(module, name, I64, [I64])
    build.ret(build.add(made.args[0], number(amount)))
    return str(module)


def call(address: int, argument: int) -> int:
    return ctypes.CFUNCTYPE(ctypes.c_int64, ctypes.c_int64)(address)(argument)


def test_a_compiled_function_can_be_called():
    address = objects.load(objects.compile_ir(module_that_adds("test_add_three", 3)), ["test_add_three"])
    assert call(address["test_add_three"], 4) == 7


def test_equal_text_gives_equal_objects():
    text = module_that_adds("test_same", 3)
    assert objects.compile_ir(text) == objects.compile_ir(text)


def test_objects_with_the_same_names_do_not_meet():
    loaded = [objects.load(objects.compile_ir(module_that_adds("test_twin", n)), ["test_twin"]) for n in (1, 2)]
    assert [call(symbols["test_twin"], 0) for symbols in loaded] == [1, 2]


def test_an_object_calls_a_defined_symbol_by_name():
    inner = objects.load(objects.compile_ir(module_that_adds("test_inner", 5)), ["test_inner"])
    objects.define_symbol("test_defined", inner["test_inner"])
    module = ir.Module("outer")
    made, build = emit.function(module, "test_outer", I64, [I64])
    build.ret(emit.call(build, "test_defined", I64, build.mul(made.args[0], number(2))))
    outer = objects.load(objects.compile_ir(str(module)), ["test_outer"])
    assert call(outer["test_outer"], 10) == 25


def test_a_symbol_is_defined_once():
    objects.define_symbol("test_once", 16)
    objects.define_symbol("test_once", 16)
    with pytest.raises(RuntimeError, match="test_once"):
        objects.define_symbol("test_once", 32)


def test_text_that_is_no_module_is_an_error():
    with pytest.raises(RuntimeError):
        objects.compile_ir("define void @broken(")


def test_assembly_is_text_with_the_functions_in_it():
    assert "test_shown:" in objects.assemble(module_that_adds("test_shown", 3))


def test_threads_may_compile_at_once():
    found: dict[int, int] = {}

    def work(amount: int) -> None:
        name = f"test_thread_{amount}"
        found[amount] = call(objects.load(objects.compile_ir(module_that_adds(name, amount)), [name])[name], 100)

    threads = [threading.Thread(target=work, args=(amount,)) for amount in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == {amount: 100 + amount for amount in range(6)}
