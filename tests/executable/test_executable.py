"""What users are promised of `kgraph.compile`, each promise a test."""

from __future__ import annotations

import multiprocessing
import pickle
import subprocess
import sys
from typing import Any

import numpy as np
import pytest
from direct_calls import wrong_of_threads

import kgraph as kg
from kgraph.errors import ArgumentError, DTypeError, RangeError, ShapeError
from kgraph.graph.evaluate import evaluate

rng = np.random.default_rng(7)


def mlp(name: str = "x") -> kg.Model:
    i = kg.Input((12,), name=name)
    h = kg.layers.Dense(20, activation="relu", name="hidden")(i)
    return kg.Model(i, kg.layers.Dense(5, activation="softmax", name="probabilities")(h))


def meaning(model: kg.Model, *inputs: np.ndarray) -> np.ndarray:
    outputs, _ = evaluate(model.trace().graph, inputs, "float64")
    return outputs[0]


@pytest.fixture(scope="module")
def model() -> kg.Model:
    return mlp()


@pytest.fixture(scope="module")
def compiled(model: kg.Model) -> kg.executable.Executable:
    return kg.compile(model)


def batch(size: int) -> np.ndarray:
    return rng.normal(size=(size, 12)).astype(np.float32)


@pytest.mark.parametrize("size", [0, 1, 2, 11, 12, 13, 97])
def test_any_batch_size_runs_through_one_executable(model, compiled, size):
    x = batch(size)
    np.testing.assert_allclose(compiled(x), meaning(model, x), rtol=1e-5, atol=1e-6)


def test_out_is_filled_and_returned(model, compiled):
    x, y = batch(3), np.full((3, 5), np.nan, np.float32)
    assert compiled(x, out=y) is y
    np.testing.assert_allclose(y, meaning(model, x), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(
    "odd",
    [
        lambda x: x.tolist(),
        lambda x: x.astype(np.float64),
        lambda x: np.asfortranarray(x),
        lambda x: np.repeat(x, 2, axis=0)[::2],
        lambda x: x.astype(">f4"),
        lambda x: np.require(x, requirements="W").view(),
    ],
    ids=["lists", "float64", "fortran", "strided", "byte-swapped", "view"],
)
def test_legal_but_odd_inputs_work(model, compiled, odd):
    x = batch(4)
    np.testing.assert_allclose(compiled(odd(x)), meaning(model, x), rtol=1e-5, atol=1e-6)


def test_a_list_for_one_input_may_be_its_rows_or_hold_it(model, compiled):
    x = batch(1)
    for given in (x.tolist(), [x], [x.tolist()], (x,)):
        np.testing.assert_array_equal(compiled(given), compiled(x))


def test_a_dense_layer_of_one_unit_is_one_kernel():
    i = kg.Input((7,), name="x")
    model = kg.Model(i, kg.layers.Dense(1, activation="sigmoid", name="score")(i))
    f = kg.compile(model)
    assert [node.name for node in f.ir if node.op == "fused"] == ["score"]
    x = rng.normal(size=(5, 7)).astype(np.float32)
    np.testing.assert_allclose(f(x), meaning(model, x), rtol=1e-5)


def test_a_read_only_input_works(model, compiled):
    x = batch(4)
    x.flags.writeable = False
    np.testing.assert_allclose(compiled(x), meaning(model, x), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(
    ("wrong", "error", "says"),
    [
        (np.zeros((3, 11), np.float32), ShapeError, r"input 'x'.*\(N, 12\).*\(3, 11\)"),
        (np.zeros((3, 12, 1), np.float32), ShapeError, "wants 2 axes"),
        (np.zeros(12, np.float32), ShapeError, "wants 2 axes"),
        (np.array([["a"] * 12]), DTypeError, "input 'x'"),
        ([[1.0] * 12, [1.0]], ShapeError, "different lengths"),
        (np.zeros((3, 12), complex), DTypeError, "input 'x'"),
    ],
)
def test_inputs_that_do_not_fit_are_refused_by_name(compiled, wrong, error, says):
    with pytest.raises(error, match=says):
        compiled(wrong)


def test_the_wrong_number_of_inputs_is_refused(compiled):
    with pytest.raises(ArgumentError, match="1 inputs are wanted, x; 2 came"):
        compiled(batch(2), batch(2))
    with pytest.raises(ArgumentError, match="unknown: z"):
        compiled({"z": batch(2)})


def test_out_that_does_not_fit_is_refused_and_left_alone(compiled):
    x = batch(3)
    kept = np.full((3, 4), 7, np.float32)
    with pytest.raises(ShapeError, match=r"\(3, 5\)"):
        compiled(x, out=kept)
    assert (kept == 7).all()
    with pytest.raises(DTypeError):
        compiled(x, out=np.zeros((3, 5)))
    shared = np.zeros(36, np.float32)
    with pytest.raises(ArgumentError, match="overlaps"):
        compiled(shared.reshape(3, 12), out=shared[:15].reshape(3, 5))
    frozen = np.zeros((3, 5), np.float32)
    frozen.flags.writeable = False
    with pytest.raises(ArgumentError, match="writable"):
        compiled(x, out=frozen)


def test_weights_are_live():
    model = mlp()
    f, x = kg.compile(model), batch(3)
    f(x)
    model.set_weights([weight + 0.25 for weight in model.get_weights()])
    np.testing.assert_allclose(f(x), meaning(model, x), rtol=1e-5, atol=1e-6)
    model.trainable_variables[0].assign(np.zeros((12, 20), np.float32))
    np.testing.assert_allclose(f(x), meaning(model, x), rtol=1e-5, atol=1e-6)


def test_frozen_weights_are_those_of_the_moment():
    model = mlp()
    f, x = kg.compile(model, freeze=True), batch(3)
    before = f(x)
    model.set_weights([weight + 1 for weight in model.get_weights()])
    np.testing.assert_array_equal(f(x), before)


def test_an_executable_pickles(compiled):
    x = batch(3)
    again = pickle.loads(pickle.dumps(compiled))
    np.testing.assert_array_equal(again(x), compiled(x))


def in_child(f, x, queue):
    queue.put(f(x))


@pytest.mark.filterwarnings("ignore:os.fork:RuntimeWarning")  # of jax, if another test has loaded it here
@pytest.mark.filterwarnings("ignore:This process:DeprecationWarning")  # of Python 3.12, for the same reason
@pytest.mark.parametrize("method", ["fork", "spawn"])
def test_it_works_in_a_child_process(compiled, method):
    context, x = multiprocessing.get_context(method), batch(300)
    queue = context.Queue()
    child = context.Process(target=in_child, args=(compiled, x, queue))
    child.start()
    np.testing.assert_array_equal(queue.get(timeout=60), compiled(x))
    child.join()


def test_many_threads_may_call_at_once(compiled):
    inputs = [batch(size) for size in (1, 7, 64, 300)] * 4
    wanted = [compiled(x) for x in inputs]
    assert not wrong_of_threads(compiled, inputs, wanted, 20)


def test_the_bits_do_not_depend_on_the_number_of_threads(model):
    x, y = batch(700), rng.integers(0, 5, 700)
    results = []
    for threads in (1, 2, 5):
        g = kg.compile(model, loss="sparse_categorical_crossentropy", threads=threads)
        loss, gradients = g.value_and_grad(x, y)
        results.append([np.asarray(loss), *gradients, g(x)])
    for other in results[1:]:
        for a, b in zip(results[0], other, strict=True):
            np.testing.assert_array_equal(a, b)


def test_an_index_outside_an_embedding_is_an_error_before_anything_is_written():
    i = kg.Input((3,), dtype="int32", name="words")
    f = kg.compile(kg.Model(i, kg.layers.Embedding(10, 4, name="table")(i)))
    out = np.full((1, 3, 4), 7, np.float32)
    for bad in (10, -1, 2**31 - 1):
        with pytest.raises(RangeError, match=rf"index {bad} of input 'words'.*table.embeddings"):
            f(np.array([[0, bad, 9]], np.int32), out=out)
    assert (out == 7).all()
    assert f(np.array([[0, 5, 9]])).shape == (1, 3, 4)


def test_several_inputs_and_outputs():
    a, b = kg.Input((3,), name="a"), kg.Input((3,), name="b")
    f = kg.compile(kg.Model([a, b], [kg.layers.add([a, b]), kg.layers.multiply([a, b])]))
    x, y = rng.normal(size=(2, 4, 3)).astype(np.float32)
    for total, times in (f(x, y), f([x, y]), f({"b": y, "a": x}), f(a=x, b=y)):
        np.testing.assert_allclose(total, x + y)
        np.testing.assert_allclose(times, x * y)


def test_an_output_may_be_an_input_or_given_twice():
    i = kg.Input((3,))
    h = kg.layers.Activation("relu")(i)
    first, second, third = kg.compile(kg.Model(i, [i, h, h]))(np.array([[-1.0, 0.0, 2.0]], np.float32))
    np.testing.assert_array_equal(first, [[-1, 0, 2]])
    np.testing.assert_array_equal(second, [[0, 0, 2]])
    np.testing.assert_array_equal(third, [[0, 0, 2]])
    assert not np.shares_memory(second, third)


def test_a_function_of_ops_compiles():
    f = kg.compile(lambda x: kg.ops.sum(kg.ops.exp(x) * 2.0, axis=-1), inputs=[kg.Input((3,))])
    x = rng.normal(size=(5, 3)).astype(np.float32)
    np.testing.assert_allclose(f(x), (np.exp(x) * 2).sum(-1), rtol=1e-5)


def test_moving_statistics_are_updated_by_a_call_in_training():
    i = kg.Input((3,))
    layer = kg.layers.BatchNormalization(momentum=0.5)
    f = kg.compile(kg.Model(i, layer(i)), training=True)
    x = rng.normal(2.0, size=(64, 3)).astype(np.float32)
    f(x)
    np.testing.assert_allclose(layer.moving_mean.numpy(), 0.5 * x.mean(0), rtol=1e-5)
    np.testing.assert_allclose(layer.moving_variance.numpy(), 0.5 + 0.5 * x.var(0), rtol=1e-4)


def test_vjp_gives_the_gradients_of_inputs_and_weights(model):
    g, x = kg.compile(model), batch(6)
    out, pullback = g.vjp(x)
    dy = rng.normal(size=out.shape).astype(np.float32)
    dx, weights = pullback(dy)
    step = 1e-7 * rng.normal(size=x.shape)  # in float64, and too short to cross a kink of relu
    change = (meaning(model, x + step) - meaning(model, x - step)) / 2
    scale = np.linalg.norm(dx) * np.linalg.norm(step)
    assert abs(np.sum(dx * step) - np.sum(change * dy)) < 1e-4 * scale
    assert [weight.shape for weight in weights] == [variable.shape for variable in model.trainable_variables]


def test_lower_only_makes_the_sources_and_no_code(model):
    f = kg.compile(model, lower_only=True)
    assert "def hidden(" in f.source
    assert [node.op for node in f.ir if node.op not in ("input", "param")] == ["fused", "fused"]


@pytest.mark.parametrize("target", ["cpu", "cuda"])
def test_what_was_only_lowered_says_that_it_does_not_run(model, target):
    f, x = kg.compile(model, target=target, lower_only=True), batch(2)
    g = kg.compile(model, target=target, lower_only=True, loss="mse")
    for call in (lambda: f(x), lambda: f.vjp(x), lambda: g.value_and_grad(x, np.zeros((2, *model.output_shape[1:])))):
        with pytest.raises(ArgumentError, match="lower_only=True has no machine code to run; compile it without"):
            call()


def test_each_dense_is_one_kernel_also_in_the_gradient(model):
    computed = [node.name for node in kg.compile(model, lower_only=True).ir if node.op not in ("input", "param")]
    assert computed == ["hidden", "probabilities"]
    ir = kg.compile(model, loss="sparse_categorical_crossentropy", lower_only=True).ir
    assert str(ir).count("einsum(") == 5  # two forward, three backward
    assert not {node.op for node in ir} & {"add", "relu", "softmax", "exp", "max"}


def test_every_view_of_the_compiler_has_something_to_show(compiled):
    assert list(compiled.stages)[:2] == ["trace", "inline"]
    assert list(compiled.stages)[-2:] == ["fuse", "chain"]
    assert "for " in compiled.source
    assert "define" in compiled.llvm()
    assert ".text" in compiled.asm() or "ret" in compiled.asm()


def test_the_environment_asks_for_stages_and_kernels(model, monkeypatch, capsys, tmp_path):
    monkeypatch.setenv("KGRAPH_SHOW", "trace,source")
    monkeypatch.setenv("KGRAPH_DUMP", str(tmp_path))
    f = kg.compile(model, lower_only=True)
    assert capsys.readouterr().err == f"# trace\n{f.stages['trace']}\n# source\n{f.source}\n"
    files = sorted(tmp_path.iterdir())
    assert [path.name for path in files][:2] == ["00_trace.txt", "01_inline.txt"]
    assert len(files) == len(f.stages) + 1
    assert files[-1].read_text().strip() == f.source.strip()


def test_a_stage_that_does_not_exist_cannot_be_shown(model, monkeypatch):
    monkeypatch.setenv("KGRAPH_SHOW", "fuse,fused")
    with pytest.raises(ArgumentError, match=r"KGRAPH_SHOW names fused, but the stages are align, .* source and rules"):
        kg.compile(model, lower_only=True)


def test_an_executable_says_what_it_takes_and_gives(model):
    x, y = batch(1).shape[1:], model.output_shape[1:]
    types = [",".join(map(str, shape)) for shape in (x, y)]
    assert f"f32[N,{types[0]}] -> probabilities: f32[N,{types[1]}]>" in repr(kg.compile(model, lower_only=True))
    assert repr(kg.compile(model, loss="mse", lower_only=True)).startswith("<Executable for cpu, with a loss: ")


def test_unknown_targets_and_losses_are_named(model):
    with pytest.raises(ArgumentError, match="tpu"):
        kg.compile(model, target="tpu")
    with pytest.raises(ArgumentError, match="mse3"):
        kg.compile(model, loss="mse3")
    with pytest.raises(ArgumentError, match="loss"):
        kg.compile(model).value_and_grad(batch(1), [0])


def test_a_second_process_takes_the_code_from_the_disk_and_needs_no_numba(tmp_path):
    program = (
        "import numpy as np, sys, kgraph as kg\n"
        "i = kg.Input((6,))\n"
        "f = kg.compile(kg.Model(i, kg.layers.Dense(3, activation='tanh')(i)))\n"
        "f(np.zeros((2, 6), np.float32))\n"
        "print('numba' in sys.modules)\n"
    )
    run = lambda: subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True,
        env={**__import__("os").environ, "KGRAPH_CACHE_DIR": str(tmp_path)},
    ).stdout.strip()  # fmt: skip
    assert run() == "True"
    assert run() == "False"


def test_what_depends_on_the_batch_is_not_made_ahead_of_calls() -> None:
    b = kg.Variable(np.array([0.5, -1.5], np.float32))

    def slope(e):  # type: ignore[no-untyped-def]
        with kg.GradientTape() as tape:
            loss = kg.ops.sum((e + b) * kg.ops.tanh(b))
        return tape.gradient(loss, b)

    e = np.arange(6, dtype=np.float32).reshape(3, 2)
    t = np.tanh(b.numpy())
    wanted = 3 * t + (e + b.numpy()).sum(0) * (1 - t * t)
    np.testing.assert_allclose(kg.compile(slope, inputs=[kg.Input((2,))])(e), wanted, rtol=1e-5)


@pytest.mark.parametrize("target", ["cpu", "cuda"])
def test_a_value_of_weights_that_is_a_result_is_read_by_others(target: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KGRAPH_CUDA", "emulate")
    weight = kg.Variable(np.full((4, 4), 0.5, "float32"))

    def call(x: Any) -> list[Any]:
        square = kg.ops.matmul(weight, weight)
        return [square, kg.ops.matmul(kg.ops.matmul(square, weight), x)]

    f = kg.compile(call, inputs=[kg.Input(batch_shape=(4, 4))], target=target)
    for number in (0.5, 1.0):
        weight.assign(np.full((4, 4), number))
        square, product = f(np.eye(4, dtype="float32"))
        assert (square == 4 * number**2).all() and (product == 16 * number**3).all()
