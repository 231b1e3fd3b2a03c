"""The pass that multiplies a table where a call looks up more rows than it has, and adds up gradients by its rows."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from graphs import made, ops, same

import kgraph as kg
from kgraph import layers
from kgraph.errors import RangeError
from kgraph.graph.ir import Graph
from kgraph.graph.sizes import N
from kgraph.graph.types import TensorType
from kgraph.ops.contract import einsum
from kgraph.ops.indexing import take
from kgraph.passes import by_table as module
from kgraph.passes.by_table import by_whole_table

ROWS = 6


def dense(words: Any) -> Any:
    return layers.Dense(9, activation="tanh")(layers.Embedding(ROWS, 8)(words))


def loop(words: Any) -> Any:
    return layers.LSTM(5)(layers.Embedding(ROWS, 8)(words))


def two_readers(words: Any) -> Any:
    table = layers.Embedding(ROWS, 8)(words)
    return layers.Dense(9)(table) * layers.Dense(9, use_bias=False)(table) + layers.Dense(1)(table)


def two_lookups(words: Any) -> Any:
    table, kernel = layers.Embedding(ROWS, 8), layers.Dense(9)
    return kernel(table(words)) + kernel(table(words[:, ::-1]))


def heads(words: Any) -> Any:
    return layers.EinsumDense("bte,ehd->bhtd", (2, None, 5), bias_axes="d")(layers.Embedding(ROWS, 8)(words))


def twice(words: Any) -> Any:
    return layers.Dense(4)(layers.Dense(9)(layers.Embedding(ROWS, 8)(words)))


SHAPES = (dense, loop, two_readers, two_lookups, heads, twice)


def gradients(call: Any, batch: int, target: str = "cpu", length: int | None = 5) -> list[np.ndarray]:
    """The loss and its gradients, of weights that are always the same."""
    kg.utils.set_random_seed(0)
    words = kg.Input((length,), dtype="int32")
    f = kg.compile(kg.Model(words, call(words)), loss="mse", target=target)
    draw = np.random.default_rng(batch)
    given = draw.integers(0, ROWS, (batch, 5)).astype(np.int32)
    shape = [batch, *(5 if not isinstance(size, int) else size for size in f(given).shape[1:])]
    loss, slopes = f.value_and_grad(given, draw.normal(size=shape).astype(np.float32))
    return [np.asarray(loss), *map(np.asarray, slopes)]


@pytest.mark.parametrize("target", ["cpu", "cuda"])
@pytest.mark.parametrize("call", SHAPES, ids=lambda call: call.__name__)
def test_both_ways_have_the_same_gradients(monkeypatch: pytest.MonkeyPatch, call: Any, target: str) -> None:
    monkeypatch.setenv("KGRAPH_CUDA", "emulate")
    for batch in (0, 1, 2, 3, 11) if target == "cpu" else (1, 3):
        found = gradients(call, batch, target)
        with monkeypatch.context() as patch:
            patch.setattr(module, "is_worth", lambda *sizes: False)
            patch.setattr(module, "is_projection", lambda *one: False)
            wanted = gradients(call, batch)
        for one, other in zip(found, wanted, strict=True):
            np.testing.assert_allclose(one, other, rtol=2e-5, atol=2e-6)


@pytest.mark.parametrize("call", SHAPES, ids=lambda call: call.__name__)
def test_lengths_that_a_call_knows_are_counted_too(call: Any) -> None:
    known, unknown = gradients(call, 7), gradients(call, 7, length=None)
    for one, other in zip(known, unknown, strict=True):
        np.testing.assert_allclose(one, other, rtol=2e-5, atol=2e-6)


def conditions(graph: Graph) -> int:
    return sum(node.op == "cond" for node in graph)


@pytest.mark.parametrize(("call", "wanted"), [(dense, 2), (loop, 2), (two_readers, 5), (heads, 1)])
def test_projection_and_gradients_are_decided_by_the_call(call: Any, wanted: int) -> None:
    words = kg.Input((5,), dtype="int32")
    f = kg.compile(kg.Model(words, call(words)), loss="mse", lower_only=True)
    assert conditions(f.stages["tables"]) == wanted
    forward = kg.compile(kg.Model(words, call(words)), lower_only=True)
    assert conditions(forward.stages["tables"]) == 0


WORDS = TensorType((12,), "int32")


def test_numbers_of_words_that_are_known_decide_at_once() -> None:
    draw = np.random.default_rng(0)
    for rows, wanted in ((6, ["einsum", "take"]), (7, ["take", "einsum"])):
        table, kernel = (kg.Variable(draw.normal(size=size).astype(np.float32)) for size in ((rows, 8), (8, 3)))
        before = made(lambda words, t=table, k=kernel: einsum(take(t, words, axis=0), k, spec="ab,bc->ac"), WORDS)
        assert ops(same(before, by_whole_table(before), 1e-4)) == wanted


@pytest.mark.parametrize("width", [16, 17])
def test_a_gradient_much_wider_than_the_table_is_multiplied_first(width: int) -> None:
    draw = np.random.default_rng(0)
    table = kg.Variable(draw.normal(size=(6, 8)).astype(np.float32))
    before = made(
        lambda words, g: einsum(take(table, words, axis=0), g, spec="ab,ac->bc"),
        TensorType((N,), "int32"),
        (N, width * 8),
    )
    assert conditions(same(before, by_whole_table(before), 1e-4)) == (width == 16)


def test_a_refused_step_changes_nothing() -> None:
    words = kg.Input((5,), dtype="int32")
    model = kg.Model(words, dense(words))
    model.compile("adam", "mse")
    given, target = np.zeros((40, 5), np.int32), np.zeros((40, 5, 9), np.float32)
    model.train_on_batch(given, target)
    before = [np.array(one) for one in model.get_weights()]
    given[3, 2] = ROWS
    with pytest.raises(RangeError, match=str(ROWS)):
        model.train_on_batch(given, target)
    for one, other in zip(before, model.get_weights(), strict=True):
        np.testing.assert_array_equal(one, other)


def test_negative_indices_count_from_the_end_where_a_weight_is_read_without_embedding() -> None:
    class Rows(kg.layers.Layer):
        def build(self, shape: Any) -> None:
            self.table, self.kernel = self.add_weight((7, 4)), self.add_weight((4, 9))

        def call(self, x: Any) -> Any:
            return kg.ops.matmul(kg.ops.take(self.table, x, axis=0), self.kernel)

    words = kg.Input((5,), dtype="int32")
    model = kg.Model(words, Rows()(words))
    forward, f = kg.compile(model), kg.compile(model, loss="mse")
    for batch in (1, 8):
        given = np.arange(-7, -7 + batch * 5, dtype=np.int32).reshape(batch, 5) % 14 - 7
        target = np.zeros((batch, 5, 9), np.float32)
        for x in (given, given % 7):
            np.testing.assert_allclose(forward(x), model(given % 7), rtol=1e-5, atol=1e-6)
        (value, gradients), (same, wanted) = f.value_and_grad(given, target), f.value_and_grad(given % 7, target)
        assert value == same
        for have, want in zip(gradients, wanted, strict=True):
            np.testing.assert_array_equal(have, want)


def test_a_negative_word_is_refused_by_every_call() -> None:
    words = kg.Input((5,), dtype="int32")
    model = kg.Model(words, dense(words))
    forward, f = kg.compile(model), kg.compile(model, loss="mse")
    for batch in (1, 8):
        given = np.zeros((batch, 5), np.int32)
        given[0, 2] = -1
        for call in (
            lambda x=given: model(x),
            lambda x=given: forward(x),
            lambda x=given: f.value_and_grad(x, np.zeros((*x.shape, 9), np.float32)),
        ):
            with pytest.raises(RangeError, match="-1"):
                call()


@pytest.mark.parametrize("batch", [1, 8])
def test_rows_that_nobody_looks_up_need_not_be_finite(batch: int) -> None:
    words = kg.Input((5,), dtype="int32")
    table = layers.Embedding(ROWS, 8)
    f = kg.compile(kg.Model(words, layers.Dense(9)(table(words))), loss="mse")
    rows = table.embeddings.numpy().copy()
    rows[-1] = -np.inf
    table.embeddings.assign(rows)
    given = np.random.default_rng(0).integers(0, ROWS - 1, (batch, 5)).astype(np.int32)
    _, slopes = f.value_and_grad(given, np.zeros((batch, 5, 9), np.float32))
    assert all(np.isfinite(one).all() for one in slopes)
    given[0, 0] = ROWS - 1
    _, slopes = f.value_and_grad(given, np.zeros((batch, 5, 9), np.float32))
    assert not np.isfinite(slopes[1]).all()
