"""Products of long rows, made in blocks: what becomes a loop, that nothing as large as all rows is stored, and that
results and gradients are right."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import keras
import numpy as np
import pytest

import kgraph
from kgraph import layers, ops
from kgraph.bench.work import memory
from kgraph.codegen.native.host import tile_shape
from kgraph.codegen.plan.planner import plan
from kgraph.executable.executable import Executable
from kgraph.graph.ir import Graph
from kgraph.graph.sizes import axes_of, resolve
from kgraph.passes import blocks

Function = Callable[..., Any]
SIZES = {"q": (20, 2, 8), "k": (33, 2, 8), "v": (33, 2, 5), "bias": (2, 20, 33), "seen": (1, 20, 33), "there": (33,)}


@pytest.fixture
def eager_to_cut(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    """Few and short rows are made in blocks too."""
    for name, value in {"LEAST": 1, "LESS": 0, "FEWEST": 8, "MOST": 8}.items():
        monkeypatch.setattr(blocks, name, value)
    return monkeypatch


def attend(after: Function = lambda x: x, weigh: Function = ops.softmax) -> Function:
    def call(q: Any, k: Any, v: Any, *more: Any) -> Any:
        scores = ops.einsum("bthd,bshd->bhts", q, k)
        return ops.einsum("bhts,bshd->bthd", weigh(after(scores, *more)), v)

    return call


def normalised(x: Any) -> Any:
    return (x - ops.mean(x, -1, keepdims=True)) / (ops.std(x, -1, keepdims=True) + 0.1)


def additive(q: Any, k: Any, v: Any) -> Any:
    q, k = (ops.transpose(one, (0, 2, 1, 3)) for one in (q, k))
    scores = ops.sum(ops.tanh(ops.expand_dims(q, 3) + ops.expand_dims(k, 2)), -1)
    return ops.einsum("bhts,bshd->bthd", ops.softmax(scores), v)


def by_matmul(q: Any, k: Any, v: Any) -> Any:
    q, k, v = (ops.transpose(one, (0, 2, 1, 3)) for one in (q, k, v))
    return ops.matmul(ops.softmax(ops.matmul(q, ops.swapaxes(k, 2, 3)) / 3.0), v)


MIX = np.array([[0.5, 2.0], [-1.0, 0.25]], np.float32)
PATTERNS: dict[str, tuple[Function, str]] = {
    "scaled": (attend(lambda x: x * 0.3), "q k v"),
    "one for all": (lambda x: attend()(x, x, x), "k"),
    "bias": (attend(lambda x, bias: x + bias), "q k v bias"),
    "mask": (attend(lambda x, seen: ops.where(seen > 0, x, -1e9)), "q k v seen"),
    "mask of keys": (attend(lambda x, there: x + ops.expand_dims(there, (1, 2))), "q k v there"),
    "capped": (attend(lambda x: ops.tanh(x / 2.0) * 2.0), "q k v"),
    "log softmax": (attend(weigh=ops.log_softmax), "q k v"),
    "normalised": (attend(weigh=normalised), "q k v"),
    "heads mixed": (attend(weigh=lambda x: ops.einsum("bhts,hg->bgts", ops.softmax(x), MIX)), "q k v"),
    "causal": (lambda q, k, v: ops.dot_product_attention(q, k, v, is_causal=True), "q k v"),
    "causal, masked": (
        lambda q, k, v, seen: ops.dot_product_attention(q, k, v, mask=seen > 0, is_causal=True),
        "q k v seen",
    ),
    "sums": (additive, "q k v"),
    "matmul": (by_matmul, "q k v"),
    "scaled by a sum": (lambda q, k, v: attend(lambda x: x * ops.mean(k))(q, k, v), "q k v"),
    "scaled by row": (
        lambda q, k, v: attend(lambda x: x * ops.transpose(ops.mean(q * q, -1, keepdims=True), (0, 2, 1, 3)))(q, k, v),
        "q k v",
    ),
}


def numbers(names: str, batch: int = 2, dtype: str = "float64", **sizes: int) -> list[np.ndarray]:
    draw = np.random.default_rng(3)
    change = {20: sizes.get("queries", 20), 33: sizes.get("keys", 33)}
    shapes = [(batch, *(change.get(size, size) for size in SIZES[name])) for name in names.split()]
    return [draw.standard_normal(shape).astype(dtype) for shape in shapes]


def differentiated(function: Function, count: int, twice: bool = False) -> Any:
    """The value and the gradients of a number made of a function's result; twice: of its first gradient instead."""

    def loss(*xs: Any) -> Any:
        y = function(*xs) / 16.0
        return ops.sum(y * ops.sin(y))

    first = kgraph.grad(loss)

    def second(*xs: Any) -> Any:
        return ops.sum(ops.sin(first(*xs)))

    return kgraph.value_and_grad(second if twice else loss, argnums=tuple(range(count)))


def compiled(function: Function, names: str, opened: bool = False, dtype: str = "float32", **options: Any) -> Any:
    shapes = [tuple(None if opened and size in (20, 33) else size for size in SIZES[name]) for name in names.split()]
    return kgraph.compile(function, inputs=[kgraph.Input(shape, dtype=dtype) for shape in shapes], **options)


def pulled(f: Executable, arrays: Sequence[np.ndarray]) -> list[np.ndarray]:
    """The result, and the gradients of its inputs."""
    y, pullback = f.vjp(*arrays)
    found = pullback(np.sin(np.arange(y.size)).reshape(y.shape).astype(y.dtype))[0]
    return [y, *(found if isinstance(found, list) else [found])]


def loops(graph: Graph) -> int:
    return sum(node.op == "loop" for node in graph)


def largest(graph: Graph, batch: int = 1, size: int = 0) -> int:
    """The most elements that a buffer of the plan has, beside inputs and weights."""
    made = plan(graph, tile_shape)
    places = [one for one in made.buffers.values() if one.place not in ("input", "param")]
    sizes = [resolve(one.elements, {n: batch if n == "N" else size for n in axes_of(one.elements)}) for one in places]
    return max(sizes)


def close(found: Sequence[Any], wanted: Sequence[Any], tolerance: float) -> None:
    for one, other in zip(found, wanted, strict=True):
        np.testing.assert_allclose(one, other, rtol=0, atol=tolerance * (1 + abs(np.asarray(other)).max()))


TWICE = ("bias", "capped", "normalised", "causal")  # patterns of which gradients are differentiated


@pytest.mark.parametrize(("pattern", "twice"), [*((one, False) for one in PATTERNS), *((one, True) for one in TWICE)])
def test_gradients_in_blocks_are_those_of_all_rows_at_once(pattern, twice, eager_to_cut):
    function, names = PATTERNS[pattern]
    arrays = numbers(names)
    f = differentiated(function, len(arrays), twice)
    value, gradients = f(*arrays)
    assert loops(next(iter(f._made.values()))[0].stages["blocks"]) == 1
    eager_to_cut.setattr(blocks, "LEAST", 1 << 60)
    wanted, others = differentiated(function, len(arrays), twice)(*arrays)
    close([value, *gradients], [wanted, *others], 1e-10)


@pytest.mark.parametrize("queries", [16, 17, 23, 24])
def test_rows_that_blocks_leave_over_are_made_too(queries, eager_to_cut):
    function, names = PATTERNS["causal"]
    arrays = numbers(names, queries=queries, keys=11)
    found = differentiated(function, 3)(*arrays)
    eager_to_cut.setattr(blocks, "LEAST", 1 << 60)
    wanted = differentiated(function, 3)(*arrays)
    close([found[0], *found[1]], [wanted[0], *wanted[1]], 1e-12)


@pytest.mark.parametrize("target", ["cpu", "cuda"])
@pytest.mark.parametrize("pattern", ["scaled", "causal, masked"])
def test_a_call_says_how_many_rows_there_are(pattern, target, eager_to_cut):
    eager_to_cut.setenv("KGRAPH_CUDA", "emulate")
    eager_to_cut.setitem(SIZES, "q", (20, 1, 2)), eager_to_cut.setitem(SIZES, "k", (33, 1, 2))
    eager_to_cut.setitem(SIZES, "v", (33, 1, 3))
    function, names = PATTERNS[pattern]
    f, plain = (
        compiled(function, names, opened=True, target=target),
        compiled(function, names, opened=True, dtype="float64"),
    )
    for size in (3, 8, 19) if target == "cpu" else (3, 11):
        arrays = numbers(names, queries=size, keys=size)
        eager_to_cut.setattr(blocks, "LEAST", 1)
        found = pulled(f, [one.astype(np.float32) for one in arrays])
        eager_to_cut.setattr(blocks, "LEAST", 1 << 60)
        close(found, pulled(plain, arrays), 3e-6)


@pytest.mark.parametrize("pattern", ["one for all", "mask", "causal", "normalised"])
def test_a_gpu_makes_rows_in_blocks_too(pattern, eager_to_cut):
    eager_to_cut.setenv("KGRAPH_CUDA", "emulate")
    for name, shape in {"q": (20, 1, 2), "k": (33, 1, 2), "v": (33, 1, 3)}.items():
        eager_to_cut.setitem(SIZES, name, shape)
    function, names = PATTERNS[pattern]
    given = numbers(names, queries=19, keys=17)
    inputs = [kgraph.Input(one.shape[1:]) for one in given]
    f = kgraph.compile(function, inputs=inputs, target="cuda")
    found = pulled(f, [one.astype(np.float32) for one in given])
    assert loops(f.stages["blocks"]) == 1  # in a call without gradients as well
    eager_to_cut.setattr(blocks, "LEAST", 1 << 60)
    plain = kgraph.compile(function, inputs=[kgraph.Input(one.shape[1:], dtype="float64") for one in given])
    close(found, pulled(plain, given), 3e-6)


# layers --------------------------------------------------------------------------------------------------------------

HEADS: dict[str, tuple[Callable[[Any], Any], dict[str, Any]]] = {
    "heads": (lambda k: k.layers.MultiHeadAttention(2, 3), {}),
    "causal": (lambda k: k.layers.MultiHeadAttention(2, 3), {"use_causal_mask": True}),
    "window": (lambda k: k.layers.MultiHeadAttention(2, 3, sliding_window=4), {}),
    "gated": (lambda k: k.layers.MultiHeadAttention(2, 3, use_gate=True), {}),
    "shared": (lambda k: k.layers.GroupQueryAttention(3, 4, 2), {"use_causal_mask": True}),
    "one": (lambda k: k.layers.Attention(use_scale=True), {"use_causal_mask": True}),
    "additive": (lambda k: k.layers.AdditiveAttention(), {}),
}


@pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")
@pytest.mark.parametrize("name", HEADS)
def test_layers_have_keras_results_and_gradients(name, eager_to_cut):
    import jax

    make, options = HEADS[name]
    ours, theirs = make(kgraph), make(keras)
    x, y = (np.random.default_rng(n).standard_normal((2, 21, 6)).astype(np.float32) for n in range(2))
    given = [x, x] if name in ("one", "additive") else x

    def call(layer: Any, value: Any) -> Any:
        return layer([value, value], **options) if isinstance(given, list) else layer(value, value, **options)

    call(theirs, keras.ops.convert_to_tensor(x))
    source = kgraph.Input((21, 6))
    model = kgraph.Model(source, call(ours, source))
    for one, other in zip(ours.weights, theirs.weights, strict=True):
        other.assign(np.random.default_rng(5).standard_normal(one.shape) * 0.3)
        one.assign(np.asarray(other))
    f = kgraph.compile(model, loss="mean_squared_error", training=False)
    assert loops(f.stages["blocks"]) == 1
    value, gradients = f.value_and_grad(x, y)

    def loss(weights: Any) -> Any:
        args = ([x, x],) if isinstance(given, list) else (x, x)
        found, _ = theirs.stateless_call(weights, [], *args, **options)
        return keras.ops.mean(keras.ops.square(found - y))

    wanted, others = jax.value_and_grad(loss)([one.value for one in theirs.trainable_variables])
    close([value, *gradients], [np.asarray(wanted), *map(np.asarray, others)], 3e-5)
    close([kgraph.compile(model)(x)], [np.asarray(call(theirs, x))], 3e-5)


@pytest.mark.parametrize("target", ["cpu", "cuda"])
@pytest.mark.parametrize("steps", [19, None])
def test_dropout_takes_the_bits_that_it_takes_of_all_rows_at_once(steps, target, eager_to_cut):
    eager_to_cut.setenv("KGRAPH_CUDA", "emulate")
    x = np.random.default_rng(0).standard_normal((2, 19, 6)).astype(np.float32)

    def calls(least: int, target: str) -> list[np.ndarray]:
        eager_to_cut.setattr(blocks, "LEAST", least)
        kgraph.utils.set_random_seed(3)
        source = kgraph.Input((steps, 6))
        model = kgraph.Model(source, layers.MultiHeadAttention(2, 3, dropout=0.3, seed=4)(source, source))
        f = kgraph.compile(model, loss="mse", target=target)
        assert loops(f.stages["blocks"]) == (least == 1)
        found = [f.value_and_grad(x, x) for _ in range(2)]
        assert found[0][0] != found[1][0]
        return [one for value, gradients in found for one in (value, *gradients)]

    close(calls(1, target), calls(1 << 60, "cpu"), 1e-6)


def test_scores_that_are_a_result_are_stored(eager_to_cut):
    x = kgraph.Input((24, 6))
    outputs = layers.MultiHeadAttention(2, 3)(x, x, return_attention_scores=True)
    f = kgraph.compile(kgraph.Model(x, list(outputs)), loss=["mse", "mse"])
    assert loops(f.stages["blocks"]) == 0


def test_one_mask_serves_many_products(eager_to_cut):
    x, there = kgraph.Input((24, 6)), kgraph.Input((24, 24))
    one = layers.MultiHeadAttention(2, 3)(x, x, attention_mask=there > 0)
    both = layers.MultiHeadAttention(2, 3)(one, one, attention_mask=there > 0)
    f = kgraph.compile(kgraph.Model([x, there], both), loss="mse")
    assert loops(f.stages["blocks"]) == 2


# memory --------------------------------------------------------------------------------------------------------------


def heads(steps: int | None, **options: Any) -> Any:
    x = kgraph.Input((steps, 8))
    return kgraph.Model(x, layers.MultiHeadAttention(2, 4, **options)(x, x, use_causal_mask=True))


@pytest.mark.parametrize("options", [{}, {"dropout": 0.1}], ids=["plain", "dropout"])
@pytest.mark.parametrize("steps", [1024, 1500, 4096])
def test_gradients_store_nothing_as_large_as_the_scores(steps, options):
    f = kgraph.compile(heads(steps, **options), loss="mse", lower_only=True)
    assert largest(f.ir, 3) <= steps * steps * 2 / 6
    assert memory(f.ir, {"N": 3}).arena < 3 * steps * steps * 2 * 4 / 4


@pytest.mark.parametrize("steps", [4096, 8192, 12000])
def test_results_need_nothing_as_large_as_the_scores(steps):
    f = kgraph.compile(heads(steps), lower_only=True)
    assert largest(f.ir, 3) <= steps * steps * 2 / 16


def test_a_step_of_training_stores_nothing_as_large_as_the_scores():
    model = heads(1024)
    model.compile("sgd", "mse")
    x = np.random.default_rng(0).standard_normal((1, 1024, 8)).astype(np.float32)
    f = kgraph.compile(heads(1024), loss="mse")
    _, gradients = f.value_and_grad(x, x)
    assert all(np.isfinite(one).all() for one in gradients)
    assert np.isfinite(model.train_on_batch(x, x))


def test_where_a_call_says_how_many_steps_there_are_gradients_store_blocks_of_the_scores():
    f = kgraph.compile(heads(None), loss="mse", lower_only=True)
    assert largest(f.ir, 1, 8192) <= 8192 * 8192 * 2 / 16


def test_few_steps_are_done_at_once():
    for loss in (None, "mse"):
        assert loops(kgraph.compile(heads(256), loss=loss, lower_only=True).stages["blocks"]) == 0


@pytest.mark.parametrize("steps", [8192, 8320, None])
def test_a_result_without_gradients_is_one_kernel(steps):
    assert loops(kgraph.compile(heads(steps), lower_only=True).stages["blocks"]) == 0


def test_long_rows_that_no_kernel_makes_are_made_in_blocks_without_gradients_too():
    def talking(q, k, v, mix):
        scores = ops.einsum("gh,bhts->bgts", mix[0], ops.einsum("bhtd,bhsd->bhts", q, k))
        return ops.einsum("bgts,bgsd->bgtd", ops.softmax(scores), v)

    for steps, wanted in ((8192, 0), (8320, 1)):
        inputs = [kgraph.Input((2, steps, 4)) for _ in range(3)] + [kgraph.Input((2, 2))]
        assert loops(kgraph.compile(talking, inputs=inputs, lower_only=True).stages["blocks"]) == wanted


def test_where_a_call_says_how_many_steps_there_are_nothing_as_large_as_the_scores_is_stored():
    assert largest(kgraph.compile(heads(None), lower_only=True).ir, 1, 8192) <= 8192 * 8192 * 2 / 16
