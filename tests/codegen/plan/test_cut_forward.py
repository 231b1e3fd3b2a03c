"""Forward passes cut along the batch: which are, and that every part does what the whole would."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest

import kgraph as kg
from kgraph import layers, ops
from kgraph.codegen.plan.layout import layout
from kgraph.errors import RangeError
from kgraph.graph.sizes import resolve

BATCHES = (0, 1, 2, 3, 5, 8)


def images() -> Any:
    x = kg.Input((18, 18, 8))
    y = layers.Conv2D(32, 3, activation="relu")(x)
    y = layers.MaxPooling2D()(layers.DepthwiseConv2D(3, padding="same")(y))
    y = layers.BatchNormalization()(layers.Conv2D(32, 1, strides=2)(y))
    return kg.Model(x, layers.Dense(4, activation="softmax")(layers.Flatten()(y)))


def tokens() -> Any:
    x = kg.Input((40, 48))
    y = layers.LayerNormalization()(x + layers.MultiHeadAttention(4, 12)(x, x, use_causal_mask=True))
    return kg.Model(x, [y, layers.GlobalAveragePooling1D()(layers.Dense(64, activation="gelu")(y))])


def open_length() -> Any:
    x = kg.Input((None, 48))
    y = layers.MultiHeadAttention(2, 24)(x, x)
    return kg.Model(x, layers.GlobalMaxPooling1D()(layers.Conv1D(32, 3, padding="causal")(y)))


def words() -> Any:
    x = kg.Input((40,), dtype="int32")
    y = layers.Embedding(50, 64)(x)
    y = layers.Dense(96, activation="tanh")(y)
    return kg.Model(x, layers.Dense(3)(layers.GlobalMaxPooling1D()(y)))


def mirrored() -> Any:
    """Down, up again, and beside what was there before; with running sums and two inputs."""
    x, y = kg.Input((12, 12, 8)), kg.Input((12, 12, 8))
    below = layers.AveragePooling2D()(layers.Conv2D(16, 3, padding="same", activation="relu")(x))
    above = layers.UpSampling2D(interpolation="bilinear")(layers.GroupNormalization(4)(below))
    both = layers.Concatenate()([above, layers.Conv2DTranspose(8, 3, padding="same")(y)])
    sums = layers.Lambda(lambda one: ops.cumsum(one, axis=1) * 0.1)(both)
    return kg.Model([x, y], {"map": layers.Conv2D(3, 1)(sums), "size": layers.GlobalAveragePooling2D()(both)})


MODELS: dict[str, Callable[[], Any]] = {
    "images": images,
    "tokens": tokens,
    "words": words,
    "mirrored": mirrored,
    "open_length": open_length,
}


def given(model: Any, batch: int) -> Any:
    draw = np.random.default_rng(batch)
    arrays = [
        draw.integers(0, 50, (batch, *one.shape[1:])).astype(np.int32)
        if str(one.dtype) == "int32"
        else draw.standard_normal((batch, *(size or 9 + batch for size in one.shape[1:]))).astype(np.float32)
        for one in model.inputs
    ]
    return arrays if len(arrays) > 1 else arrays[0]


def as_list(found: Any) -> list[np.ndarray]:
    return [np.asarray(one) for one in kg.tree.flatten(found)]


@pytest.mark.parametrize("name", MODELS)
def test_any_batch_by_any_number_of_threads(name: str) -> None:
    model = MODELS[name]()
    alike: list[list[np.ndarray]] = []
    for threads in (1, 2, 5):
        f = kg.compile(model, threads=threads)
        assert f._forward().program.plan.cut is not None
        for batch in BATCHES:
            x = given(model, batch)
            for found, wanted in zip(as_list(f(x)), as_list(model(x)), strict=True):
                np.testing.assert_allclose(found, wanted, rtol=0, atol=5e-6)
        alike.append(as_list(f(given(model, BATCHES[-1]))))
    for one in alike:
        assert all((found == wanted).all() for found, wanted in zip(one, alike[0], strict=True))


def test_little_work_is_cut_in_equal_parts() -> None:
    x = kg.Input((64,))
    y = layers.LayerNormalization()(layers.Dense(64, activation="gelu")(x))
    model = kg.Model(x, layers.Dense(3, activation="softmax")(layers.Dense(48, activation="tanh")(y)))
    compiled = [kg.compile(model, threads=threads) for threads in (1, 2, 5)]
    plan = compiled[0]._forward().program.plan
    assert plan.cut is not None and plan.cut.least is not None and plan.cut.least < plan.cut.most
    for batch in (0, 1, plan.cut.least, plan.cut.least + 1, 50, plan.cut.most, 96, 97, 129, 500):
        sizes = plan.all_sizes({"N": batch})
        parts, samples = resolve(plan.cut.parts, sizes), resolve(plan.cut.samples, sizes)
        assert (parts - 1) * samples < max(batch, 1) <= max(parts, 1) * samples and samples <= plan.cut.most
        sample = np.random.default_rng(batch).standard_normal((batch, 64)).astype(np.float32)
        one, *others = (f(sample) for f in compiled)
        np.testing.assert_allclose(one, model(sample), rtol=0, atol=5e-6)
        assert all((other == one).all() for other in others)


def test_many_weights_are_not_read_again_for_each_part() -> None:
    x = kg.Input((512,))
    model = kg.Model(x, layers.Dense(4)(layers.Dense(512, activation="relu")(x)))
    assert kg.compile(model, lower_only=True)._forward().program.plan.cut is None


def test_many_callers_at_once() -> None:
    model = images()
    f, x = kg.compile(model, threads=3), given(model, 8)
    wanted = f(x)
    with ThreadPoolExecutor(4) as pool:
        assert all((found == wanted).all() for found in pool.map(lambda _: f(x), range(40)))


def test_parts_take_turns_in_little_memory() -> None:
    plan = kg.compile(images(), threads=2)._forward().program.plan
    assert plan.cut is not None and plan.cut.most < 32
    of_a_part = layout(plan, {"N": plan.cut.most}, 2).size
    assert layout(plan, {"N": 1000}, 2).size == 2 * of_a_part


def test_an_index_outside_is_refused_before_any_part_begins() -> None:
    model = words()
    f, x = kg.compile(model, threads=2), given(model, 8)
    x[7, 3] = 50
    out = np.full((8, 3), 7, np.float32)
    with pytest.raises(RangeError, match="50"):
        f(x, out=out)
    assert (out == 7).all()


def test_a_weight_that_changes_is_seen() -> None:
    model = images()
    f, x = kg.compile(model), given(model, 5)
    before = f(x)
    model.set_weights([one * 0.5 for one in model.get_weights()])
    assert not np.allclose(before, f(x))
    np.testing.assert_allclose(f(x), model(x), rtol=0, atol=5e-6)


@pytest.mark.parametrize(
    "function",
    [
        lambda x: x - ops.mean(x, axis=0, keepdims=True),
        lambda x: ops.flip(ops.sin(x), axis=0) * ops.sum(x, axis=(1, 2), keepdims=True),
        lambda x: ops.softmax(ops.reshape(x, (-1, 80)), axis=0),
    ],
)
def test_samples_that_know_each_other_stay_together(function: Callable[[Any], Any]) -> None:
    f = kg.compile(
        lambda x: ops.tanh(function(ops.matmul(ops.tanh(x), np.eye(80, dtype=np.float32)))), inputs=[kg.Input((80, 80))]
    )
    assert f._forward().program.plan.cut is None
