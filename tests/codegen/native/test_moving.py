"""Loops of the runner: addresses that move, values that are carried, and conditions that end them."""

from __future__ import annotations

import numpy as np
import pytest
from llvmlite import ir

from kgraph.codegen.native import emit, objects
from kgraph.codegen.native.emit import I64, PTR, at, load, number, store
from kgraph.codegen.native.loops import Carry, Move
from kgraph.codegen.native.runner import Loop, Step, encode, failure


@pytest.fixture(scope="module")
def add() -> int:
    """add(a, b, out): out[i] = a[i] + b[i]."""
    module = ir.Module("adding")
    made, build = emit.function(module, "test_add", I64, [PTR, I64, I64])
    a, b, out = (load(build, at(build, made.args[0], k), PTR) for k in range(3))
    with emit.loop(build, made.args[1], made.args[2]) as index:
        total = build.add(load(build, at(build, a, index)), load(build, at(build, b, index)))
        store(build, total, at(build, out, index))
    build.ret(number(0))
    return objects.load(objects.compile_ir(str(module)), ["test_add"])["test_add"]


class Frame:
    """Slots by name."""

    def __init__(self, **values: int | np.ndarray) -> None:
        self.slots, self.alive = list(values), values
        self.words = np.array([v.ctypes.data if isinstance(v, np.ndarray) else v for v in values.values()], np.int64)

    def __getattr__(self, name: str) -> int:
        return self.slots.index(name)


@pytest.mark.parametrize("steps", [0, 1, 2, 5])
@pytest.mark.parametrize("reverse", [False, True])
def test_what_is_carried_goes_from_step_to_step(native, add, steps, reverse):
    xs, first = np.arange(15).reshape(5, 3), np.full(3, 100)
    one, other, result, kept = np.zeros(3, int), np.zeros(3, int), np.zeros(3, int), np.zeros((5, 3), int)
    f = Frame(count=steps, x=0, xs=xs, stride=24, old=0, new=0, first=first, one=one, other=other, result=result,
              kept=kept, y=0, extent=3, grain=3, size=24)  # fmt: skip
    carry = Carry(f.old, f.new, f.first, f.one, f.other, f.result, f.size)
    inside = [Step(add, f.extent, f.grain, (f.old, f.x, f.new)), Step(add, f.extent, f.grain, (f.old, f.x, f.y))]
    loop = Loop(f.count, inside, [Move(f.x, f.xs, f.stride), Move(f.y, f.kept, f.stride)], [carry], reverse)
    assert native.run(encode([loop]), 1, f.words, 1) == 0
    want = np.zeros((5, 3), int)
    order = range(steps)[::-1] if reverse else range(steps)
    total = first.copy()
    for step in order:
        total = total + xs[step]
        want[step] = total
    np.testing.assert_array_equal(result, total)
    np.testing.assert_array_equal(kept, want)
    np.testing.assert_array_equal(first, 100)


def test_what_is_kept_of_each_step_need_not_be_copied_to_be_carried(native, add):
    xs, first, kept, result = np.arange(12).reshape(4, 3), np.ones(3, int), np.zeros((4, 3), int), np.zeros(3, int)
    f = Frame(
        count=4, x=0, xs=xs, stride=24, old=0, y=0, first=first, kept=kept, result=result, extent=3, grain=3, size=24
    )
    moves = [Move(f.x, f.xs, f.stride), Move(f.y, f.kept, f.stride)]
    carry = Carry(f.old, f.y, f.first, result=f.result, size=f.size)
    loop = Loop(f.count, [Step(add, f.extent, f.grain, (f.old, f.x, f.y))], moves, [carry])
    assert native.run(encode([loop]), 1, f.words, 1) == 0
    np.testing.assert_array_equal(kept, 1 + np.cumsum(xs, 0))
    np.testing.assert_array_equal(result, kept[-1])


@pytest.mark.parametrize("wanted", [False, True])
@pytest.mark.parametrize("flag", [False, True])
def test_a_condition_decides_whether_there_is_a_step(native, tasks, flag, wanted):
    source, target, flags = np.arange(3), np.zeros(3, int), np.array([flag])
    f = Frame(count=1, flags=flags, source=source, target=target, extent=3, grain=3)
    inside = [Step(tasks["copy"], f.extent, f.grain, (f.source, f.target))]
    loop = Loop(f.count, inside, condition=f.flags, wanted=wanted)
    assert native.run(encode([loop]), 1, f.words, 1) == 0
    assert target.any() == (flag == wanted)


def test_steps_after_a_loop_are_done_and_a_failure_in_one_inside_another_is_found(native, tasks):
    source, target = np.arange(3), np.zeros(3, int)
    f = Frame(count=2, bad=1, source=source, target=target, extent=3, grain=3, place=1, status=9)
    copy = Step(tasks["copy"], f.extent, f.grain, (f.source, f.target))
    inner = Loop(f.count, [copy, copy])
    outer = Loop(f.count, [copy, inner, copy])
    assert native.run(encode([outer, copy]), 2, f.words, 1) == 0
    np.testing.assert_array_equal(target, source)
    fail = Step(tasks["fail"], f.extent, f.bad, (f.place, f.status))
    bad = Loop(f.count, [copy, Loop(f.count, [copy, fail])])
    assert failure(native.run(encode([copy, inner, bad]), 3, f.words, 1)) == (8, 9)
