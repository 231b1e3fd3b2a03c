"""Memory: an arena hardly larger than what lives at one time, and calls that allocate nothing but their results."""

from __future__ import annotations

import gc
import tracemalloc
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import kgraph as kg
from kgraph import layers, ops
from kgraph.codegen.plan.layout import ALIGNMENT, layout
from kgraph.codegen.plan.steps import Plan
from kgraph.graph.sizes import axes_of, resolve

Dense = layers.Dense
rng = np.random.default_rng(3)


def inputs(*shape: Any) -> Any:
    return kg.Input(batch_shape=(None, *shape))


def perceptron() -> kg.Model:
    x = y = inputs(100)
    for width in (300, 200, 100, 50, 10):
        y = Dense(width, activation="relu")(y)
    return kg.Model(x, y)


def residual() -> kg.Model:
    x = inputs(64)
    y = Dense(64)(x)
    for number in range(5):
        wide = Dense(64 * (1 + number % 3), activation="gelu")(y)
        y = layers.LayerNormalization()(layers.add([y, Dense(64)(wide)]))
    return kg.Model(x, y)


def transformer() -> kg.Model:
    x = inputs(20, 64)
    y = layers.LayerNormalization()(x)
    heads = [ops.transpose(ops.reshape(Dense(64)(y), (-1, 20, 4, 16)), (0, 2, 1, 3)) for _ in range(3)]
    scores = ops.softmax(ops.matmul(heads[0], ops.transpose(heads[1], (0, 1, 3, 2))) * 0.25)
    mixed = ops.reshape(ops.transpose(ops.matmul(scores, heads[2]), (0, 2, 1, 3)), (-1, 20, 64))
    y = x + Dense(64)(mixed)
    return kg.Model(x, y + Dense(64)(Dense(256, activation="gelu")(layers.LayerNormalization()(y))))


def growing() -> kg.Model:
    x = y = inputs(16)
    for number in range(6):
        y = layers.concatenate([y, Dense(12 + number, activation="relu")(y)])
    return kg.Model(x, Dense(10)(y))


def branches() -> kg.Model:
    x = y = inputs(32)
    for _ in range(3):
        y = layers.concatenate([Dense(width, activation="relu")(y) for width in (8, 24, 17, 40)])
    return kg.Model(x, Dense(10, activation="softmax")(y))


def skipping() -> kg.Model:
    x = inputs(64)
    found = [x]
    for number in range(5):
        found.append(Dense(96 - 10 * number, activation="tanh")(found[-1]))
    y = found.pop()
    for one in reversed(found):
        y = Dense(one.shape[-1], activation="tanh")(layers.concatenate([y, one]))
    return kg.Model(x, y)


def recurrent() -> kg.Model:
    x = inputs(12, 16)
    return kg.Model(x, Dense(4)(layers.LSTM(20)(layers.LSTM(24, return_sequences=True)(x))))


MODELS = [perceptron, residual, transformer, growing, branches, skipping, recurrent]


def most_alive(plan: Plan, sizes: dict[str, int]) -> int:
    """The most bytes that any step finds alive: counted step by step."""
    spans = plan.lifetimes()
    room = {name: -(-int(resolve(plan.buffers[name].bytes, sizes)) // ALIGNMENT) * ALIGNMENT for name in spans}
    times = range(1 + max((end for _, end in spans.values()), default=0))
    return max(sum(room[name] for name, (begin, end) in spans.items() if begin <= now <= end) for now in times)


@pytest.mark.parametrize("with_gradients", [False, True])
@pytest.mark.parametrize("make", MODELS)
def test_an_arena_is_at_most_a_tenth_larger_than_what_lives_at_one_time(make, with_gradients):
    options: dict[str, Any] = {"loss": "mse"} if with_gradients else {}
    plan = kg.compile(make(), lower_only=True, **options)._main().program.plan
    named = axes_of(tuple(buffer.elements for buffer in plan.buffers.values()))
    for count in (1, 3, 32, 1000):
        whole = plan.all_sizes(dict.fromkeys(named, count))
        is_cut = plan.cut is not None and resolve(plan.cut.parts, whole) > 1
        sizes = {**whole, plan.cut.axis: resolve(plan.cut.samples, whole)} if is_cut else whole  # of a part
        found = layout(plan, dict.fromkeys(named, count))
        assert found.size <= 1.1 * most_alive(plan, sizes)
        check_apart(plan, found.offsets, sizes)


def check_apart(plan: Plan, offsets: dict[str, int], sizes: dict[str, int]) -> None:
    """Buffers that live at the same time do not overlap, and begin where vectors may."""
    spans = plan.lifetimes()
    places = [(spans[n], at, at + int(resolve(plan.buffers[n].bytes, sizes))) for n, at in offsets.items()]
    assert offsets.keys() == spans.keys() and all(at % ALIGNMENT == 0 for at in offsets.values())
    for number, (one, begin, end) in enumerate(places):
        for other, first, last in places[:number]:
            assert one[1] < other[0] or other[1] < one[0] or end <= first or last <= begin


def test_concatenations_need_no_memory_beside_their_result():
    x = inputs(32)
    joined = layers.concatenate([Dense(48)(x) for _ in range(4)])
    plan = kg.compile(kg.Model(x, Dense(4)(joined)), lower_only=True)._main().program.plan
    assert most_alive(plan, {"N": 100}) == 100 * 4 * 48 * 4


def test_a_plan_without_memory_of_its_own_has_no_arena():
    assert layout(kg.compile(lambda x: x + 1.0, inputs=[inputs(3)], lower_only=True)._main().program.plan, {}).size == 0


# calls ----------------------------------------------------------------------------------------------------------------


def traced(call: Callable[[], Any]) -> int:
    """The most bytes that Python and numpy held during a call beside those before it."""
    for _ in range(3):
        call()
    gc.collect()
    tracemalloc.start()
    try:
        call()
        before = tracemalloc.get_traced_memory()[0]
        tracemalloc.reset_peak()
        call()
        return tracemalloc.get_traced_memory()[1] - before
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("make", [perceptron, transformer, branches, recurrent])
def test_a_call_allocates_its_results_and_nothing_else(make):
    model = make()
    x = rng.standard_normal((64, *model.inputs[0].shape[1:])).astype(np.float32)
    compiled, differentiated = kg.compile(model), kg.compile(model, loss="mse")
    y = np.zeros_like(compiled(x))
    results = sum(np.asarray(one).nbytes for one in kg.tree.flatten(differentiated.value_and_grad(x, y)))
    small = 4096  # objects of arrays, lists and frames
    assert traced(lambda: compiled(x)) <= y.nbytes + small
    assert traced(lambda: compiled(x, out=y)) <= small
    assert traced(lambda: differentiated.value_and_grad(x, y)) <= results + 4 * small


def resident() -> int:
    """The memory of this process in bytes, all that is allocated natively included."""
    status = Path("/proc/self/status")
    if not status.exists():
        pytest.skip("only Linux says how much memory a process has")
    return next(int(line.split()[1]) * 1024 for line in status.read_text().splitlines() if line.startswith("VmRSS"))


def test_many_calls_do_not_grow_the_process():
    model = kg.Sequential([kg.Input(batch_shape=(None, 4)), Dense(8, activation="relu"), Dense(3)])
    compiled, x = kg.compile(model), np.ones((2, 4), np.float32)
    for _ in range(1000):
        compiled(x)
    gc.collect()
    before = resident()
    for _ in range(100_000):
        compiled(x)
    gc.collect()
    assert resident() - before < 1 << 20  # a leak of 16 bytes a call would be more


def test_calls_with_ever_other_sizes_reach_a_limit():
    model = kg.Sequential([kg.Input(batch_shape=(None, 4)), Dense(64, activation="relu"), Dense(3)])
    compiled = kg.compile(model)
    arrays = [np.ones((count, 4), np.float32) for count in range(1, 41)]
    for x in arrays * 3:
        compiled(x)
    gc.collect()
    before = resident()
    for x in arrays * 25:
        compiled(x)
    gc.collect()
    assert resident() - before < 4 << 20
