"""The pass that looks up rows of a product of weights where rows of a weight would be multiplied."""

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
from kgraph.passes import tables
from kgraph.passes.tables import look_up_products

WORDS = TensorType((N, 5), "int32")


def weight(*shape: int) -> kg.Variable:
    return kg.Variable(np.random.default_rng(len(shape)).normal(size=shape).astype(np.float32))


def looked_up(spec: str, table: tuple[int, ...], kernel: tuple[int, ...], axis: int = 0) -> Graph:
    one, other = weight(*table), weight(*kernel)
    before = made(lambda words: einsum(take(one, words, axis=axis), other, spec=spec), WORDS)
    return same(before, look_up_products(before), 1e-4)


@pytest.mark.parametrize(
    ("spec", "table", "kernel", "axis", "wanted"),
    [
        ("abc,cd->abd", (7, 9), (9, 4), 0, ["einsum", "take"]),
        ("abc,cd->bad", (7, 9), (9, 4), 0, ["einsum", "take", "transpose"]),
        ("abc,dc->dab", (7, 9), (4, 9), 0, ["einsum", "take", "transpose"]),
        ("abcd,cde->abe", (7, 3, 4), (3, 4, 5), 0, ["einsum", "take"]),
        ("cabd,de->caeb", (3, 7, 9), (9, 4), 1, ["einsum", "take", "transpose"]),
    ],
)
def test_the_product_of_weights_is_looked_up(
    spec: str, table: tuple[int, ...], kernel: tuple[int, ...], axis: int, wanted: list[str]
) -> None:
    after = looked_up(spec, table, kernel, axis)
    assert ops(after) == wanted
    product = next(node for node in after if node.op == "einsum")
    assert all(after[name].op == "param" for name in after.arguments(product.name))


@pytest.mark.parametrize(
    ("spec", "table", "kernel"),
    [
        ("abc,cd->abd", (7, 4), (4, 4)),  # a sum of few terms takes no longer than to read its result
        ("abc,bcd->abd", (7, 9), (5, 9, 4)),  # another matrix for each place
        ("abc,bcd->ad", (7, 9), (5, 9, 4)),  # a sum over what is looked up
    ],
)
def test_what_gains_nothing_stays(spec: str, table: tuple[int, ...], kernel: tuple[int, ...]) -> None:
    assert ops(looked_up(spec, table, kernel)) == ["take", "einsum"]


@pytest.mark.parametrize(("limit", "value"), [("MOST_ELEMENTS", 27), ("MOST_OPERATIONS", 251)])
def test_a_large_product_is_not_made(monkeypatch: pytest.MonkeyPatch, limit: str, value: int) -> None:
    monkeypatch.setattr(tables, limit, value)
    assert ops(looked_up("abc,cd->abd", (7, 9), (9, 4))) == ["take", "einsum"]
    monkeypatch.setattr(tables, limit, value + 1)
    assert ops(looked_up("abc,cd->abd", (7, 9), (9, 4))) == ["einsum", "take"]


def test_a_table_that_is_an_input_stays() -> None:
    kernel = weight(9, 4)
    before = made(lambda table, words: einsum(take(table, words, axis=0), kernel, spec="abc,cd->abd"), (7, 9), WORDS)
    assert ops(look_up_products(before)) == ["take", "einsum"]


def reader() -> kg.Model:
    words = kg.Input((5,), dtype="int32")
    return kg.Model(words, layers.LSTM(6, name="read")(layers.Embedding(11, 8, name="table")(words)))


@pytest.mark.parametrize("target", ["cpu", "cuda"])
def test_a_changed_weight_is_seen(monkeypatch: pytest.MonkeyPatch, target: str) -> None:
    monkeypatch.setenv("KGRAPH_CUDA", "emulate")
    model = reader()
    compiled = kg.compile(model, target=target)
    words = np.random.default_rng(0).integers(0, 11, (3, 5)).astype(np.int32)
    for layer in ("table", "read"):
        np.testing.assert_allclose(compiled(words), model(words), rtol=1e-5, atol=1e-6)
        table = model.get_layer(layer).weights[0]
        table.assign(table.numpy() * 1.5)
    np.testing.assert_allclose(compiled(words), model(words), rtol=1e-5, atol=1e-6)


def test_an_index_outside_is_refused() -> None:
    with pytest.raises(RangeError, match="11"):
        kg.compile(reader())(np.full((1, 5), 11, np.int32))


def test_a_weight_that_the_call_changes_is_looked_up() -> None:
    table, kernel = weight(7, 9), weight(9, 4)

    def call(words: Any) -> Any:
        found = take(table, words, axis=0) @ kernel
        table.assign(table * 2)
        return found

    before = made(call, WORDS)
    assert ops(look_up_products(before)) == ops(before)
