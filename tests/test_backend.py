"""The backend module of Keras 2: its functions against numpy, on arrays and on symbols."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import keras
import numpy as np
import pytest

import kgraph
from kgraph import backend as K
from kgraph.errors import ArgumentError, NotTracedError, ShapeError
from kgraph.graph.evaluate import evaluate
from kgraph.graph.types import TensorType, standard_dtype
from kgraph.tracing.trace import trace
from kgraph.tracing.variable import Variable

RANDOM = np.random.default_rng(0)
X = RANDOM.normal(size=(3, 4, 5)).astype(np.float32)
M = RANDOM.uniform(0.1, 0.9, (3, 4)).astype(np.float32)
I = np.array([2, 0, 1], np.int32)  # noqa: E741
IMAGES = RANDOM.normal(size=(2, 3, 4, 5)).astype(np.float32)
VOLUMES = RANDOM.normal(size=(2, 3, 4, 5, 2)).astype(np.float32)
CLASSES = np.eye(4, dtype=np.float32)[I]
ROWS = M / M.sum(1, keepdims=True)

Case = tuple[str, Callable[..., Any], tuple[Any, ...], Any]
CASES: list[Case] = [
    ("mean", lambda x: K.mean(x, axis=1), (X,), X.mean(1)),
    ("sum", lambda x: K.sum(x, axis=[0, 2], keepdims=True), (X,), X.sum((0, 2), keepdims=True)),
    ("prod", lambda x: K.prod(x, -1), (M,), M.prod(-1)),
    ("max", lambda x: K.max(x, axis=-1), (X,), X.max(-1)),
    ("min", lambda x: K.min(x), (X,), X.min()),
    ("std", lambda x: K.std(x, 0), (X,), X.std(0)),
    ("var", lambda x: K.var(x, 0), (X,), X.var(0)),
    ("any", lambda x: K.any(K.greater(x, 1.5), 0), (X,), (X > 1.5).any(0)),
    ("all", lambda x: K.all(K.less(x, 1.5), 0), (X,), (X < 1.5).all(0)),
    ("argmax", lambda x: K.argmax(x, -1), (X,), X.argmax(-1).astype(np.int32)),
    ("argmin", lambda x: K.argmin(x, -1), (X,), X.argmin(-1).astype(np.int32)),
    ("dot", lambda x, y: K.dot(x, y), (X, X[0].T), X @ X[0].T),
    ("batch_dot", lambda x, y: K.batch_dot(x, y, axes=(2, 1)), (X, X.transpose(0, 2, 1)), X @ X.transpose(0, 2, 1)),
    ("batch_dot of rows", lambda x, y: K.batch_dot(x, y, 1), (M, M), (M * M).sum(1, keepdims=True)),
    ("square", lambda x: K.square(x), (X,), X * X),
    ("sqrt", lambda x: K.sqrt(x), (X,), np.sqrt(np.maximum(X, 0))),
    ("exp, log", lambda x: K.log(K.exp(x)), (X,), X),
    ("pow", lambda x: K.pow(x, 3), (M,), M**3),
    ("abs, sign", lambda x: K.abs(x) * K.sign(x), (X,), X),
    ("round", lambda x: K.round(x * 4), (X,), np.rint(X * 4)),
    ("sin, cos", lambda x: K.square(K.sin(x)) + K.square(K.cos(x)), (X,), np.ones_like(X)),
    ("relu", lambda x: K.relu(x), (X,), np.maximum(X, 0)),
    ("relu with a slope", lambda x: K.relu(x, alpha=0.1), (X,), np.where(X > 0, X, X * np.float32(0.1))),
    ("relu with a bound", lambda x: K.relu(x, max_value=0.5), (X,), np.clip(X, 0, 0.5)),
    ("sigmoid", lambda x: K.sigmoid(x), (X,), 1 / (1 + np.exp(-X))),
    ("hard_sigmoid", lambda x: K.hard_sigmoid(x), (X,), np.clip(X / 6 + 0.5, 0, 1)),
    ("tanh", lambda x: K.tanh(x), (X,), np.tanh(X)),
    ("softplus", lambda x: K.softplus(x), (X,), np.log1p(np.exp(X))),
    ("softsign", lambda x: K.softsign(x), (X,), X / (1 + np.abs(X))),
    ("softmax", lambda x: K.softmax(x), (X,), np.exp(X) / np.exp(X).sum(-1, keepdims=True)),
    ("elu", lambda x: K.elu(x, 0.5), (X,), np.where(X > 0, X, np.expm1(X) * 0.5).astype(np.float32)),
    ("clip", lambda x: K.clip(x, -0.5, 0.5), (X,), np.clip(X, -0.5, 0.5)),
    ("equal", lambda x, y: K.equal(x, y), (I, I), np.ones(3, bool)),
    ("not_equal", lambda x: K.not_equal(x, 0), (I,), I != 0),
    ("greater_equal", lambda x: K.greater_equal(x, 1), (I,), I >= 1),
    ("less_equal", lambda x: K.less_equal(x, 1), (I,), I <= 1),
    ("maximum", lambda x: K.maximum(x, 0.0), (X,), np.maximum(X, 0)),
    ("minimum", lambda x: K.minimum(x, 0.0), (X,), np.minimum(X, 0)),
    ("l2_normalize", lambda x: K.l2_normalize(x, 1), (M,), M / np.sqrt((M * M).sum(1, keepdims=True))),
    ("cumsum", lambda x: K.cumsum(x), (X,), X.cumsum(0)),
    ("cumprod", lambda x: K.cumprod(x, 1), (M,), M.cumprod(1)),
    ("logsumexp", lambda x: K.logsumexp(x, -1), (X,), np.log(np.exp(X).sum(-1))),
    ("reshape", lambda x: K.reshape(x, (-1, 10)), (X,), X.reshape(-1, 10)),
    ("flatten", lambda x: K.flatten(x), (X,), X.ravel()),
    ("batch_flatten", lambda x: K.batch_flatten(x), (X,), X.reshape(3, 20)),
    ("expand_dims", lambda x: K.expand_dims(x), (M,), M[..., None]),
    ("squeeze", lambda x: K.squeeze(x, 1), (M[:, :1],), M[:, 0]),
    ("transpose", lambda x: K.transpose(x), (X,), X.T),
    ("permute_dimensions", lambda x: K.permute_dimensions(x, (2, 0, 1)), (X,), X.transpose(2, 0, 1)),
    ("concatenate", lambda x, y: K.concatenate([x, y]), (M, M), np.concatenate([M, M], -1)),
    ("stack", lambda x, y: K.stack([x, y], 1), (M, M), np.stack([M, M], 1)),
    ("tile", lambda x: K.tile(x, (1, 2)), (M,), np.tile(M, (1, 2))),
    ("repeat", lambda x: K.repeat(x, 3), (M,), M[:, None].repeat(3, 1)),
    ("repeat_elements", lambda x: K.repeat_elements(x, 2, 1), (X,), X.repeat(2, 1)),
    ("reverse", lambda x: K.reverse(x, [0, 2]), (X,), np.flip(X, (0, 2))),
    ("gather", lambda x, i: K.gather(x, i), (X, I), X[I]),
    ("one_hot", lambda i: K.one_hot(i, 4), (I,), CLASSES),
    ("temporal_padding", lambda x: K.temporal_padding(x, (1, 2)), (X,), np.pad(X, ((0, 0), (1, 2), (0, 0)))),
    (
        "spatial_2d_padding",
        lambda x: K.spatial_2d_padding(x),
        (IMAGES,),
        np.pad(IMAGES, ((0, 0), (1, 1), (1, 1), (0, 0))),
    ),
    (
        "spatial_2d_padding, channels first",
        lambda x: K.spatial_2d_padding(x, ((1, 0), (0, 2)), "channels_first"),
        (IMAGES,),
        np.pad(IMAGES, ((0, 0), (0, 0), (1, 0), (0, 2))),
    ),
    (
        "spatial_3d_padding",
        lambda x: K.spatial_3d_padding(x),
        (VOLUMES,),
        np.pad(VOLUMES, [(0, 0), *[(1, 1)] * 3, (0, 0)]),
    ),
    (
        "resize_volumes",
        lambda x: K.resize_volumes(x, 2, 1, 3, "channels_last"),
        (VOLUMES,),
        VOLUMES.repeat(2, 1).repeat(3, 3),
    ),
    ("bias_add", lambda x, b: K.bias_add(x, b), (IMAGES, X[0, 0]), IMAGES + X[0, 0]),
    (
        "bias_add, channels first",
        lambda x, b: K.bias_add(x, b, "channels_first"),
        (IMAGES, X[0, 0, :3]),
        IMAGES + X[0, 0, :3, None, None],
    ),
    (
        "batch_normalization",
        lambda x: K.batch_normalization(x, 0.5, 4.0, 1.0, 2.0, epsilon=0.0),
        (X,),
        (X - 0.5) / 2 * 2 + 1,
    ),
    ("switch of numbers", lambda x: K.switch(K.greater(K.sum(x), -1e9), x, lambda: x * 2), (X,), X),
    ("switch of rows", lambda i, x: K.switch(K.greater(i, 0), x, -x), (I, X), np.where((I > 0)[:, None, None], X, -X)),
    ("cast", lambda x: K.cast(x, "int32"), (X,), X.astype(np.int32)),
    ("cast_to_floatx", lambda x: K.cast_to_floatx(x), (I,), I.astype(np.float32)),
    ("zeros_like", lambda x: K.zeros_like(x) + K.ones_like(x), (X,), np.ones_like(X)),
    ("stop_gradient", lambda x, y: K.stop_gradient([x, y])[1], (X, M), M),
    (
        "categorical_crossentropy",
        lambda t, p: K.categorical_crossentropy(t, p),
        (CLASSES, ROWS),
        -np.log(ROWS[range(3), I]),
    ),
    ("sparse", lambda t, p: K.sparse_categorical_crossentropy(t, p), (I, ROWS), -np.log(ROWS[range(3), I])),
    (
        "sparse, but for a class",
        lambda t, p: K.sparse_categorical_crossentropy(t, p, ignore_class=0),
        (I, ROWS),
        np.where(I == 0, 0, -np.log(ROWS[range(3), I])),
    ),
    (
        "binary_crossentropy",
        lambda t, p: K.binary_crossentropy(t, p),
        (CLASSES, M),
        -np.log(np.where(CLASSES > 0, M, 1 - M)),
    ),
]


@pytest.mark.parametrize(("call", "given", "wanted"), [case[1:] for case in CASES], ids=[case[0] for case in CASES])
def test_functions_compute_what_numpy_does(call: Callable[..., Any], given: tuple[Any, ...], wanted: Any) -> None:
    graph = trace(call, *(TensorType(one.shape, standard_dtype(one.dtype)) for one in given))
    for have in (call(*given), evaluate(graph, given)[0][0]):
        assert (have.shape, have.dtype) == (np.shape(wanted), np.asarray(wanted).dtype)
        np.testing.assert_allclose(have, wanted, rtol=2e-5, atol=2e-6)


KERNEL = RANDOM.normal(size=(2, 3, 5, 4)).astype(np.float32)
SMALL = RANDOM.normal(size=(3, 5, 4)).astype(np.float32)
CUBE = RANDOM.normal(size=(2, 2, 2, 2, 3)).astype(np.float32)
TURNED = RANDOM.normal(size=(3, 3, 2, 5)).astype(np.float32)

WINDOWS: list[Case] = [
    ("conv1d", lambda x, k: K.conv1d(x, k, 2, "same"), (X, SMALL), keras.ops.conv(X, SMALL, 2, "same")),
    (
        "conv1d causal",
        lambda x, k: K.conv1d(x, k, 1, "causal", None, 2),
        (X, SMALL),
        keras.ops.conv(np.pad(X, ((0, 0), (4, 0), (0, 0))), SMALL, 1, "valid", None, 2),
    ),
    ("conv2d", lambda x, k: K.conv2d(x, k), (IMAGES, KERNEL), keras.ops.conv(IMAGES, KERNEL)),
    ("conv3d", lambda x, k: K.conv3d(x, k), (VOLUMES, CUBE), keras.ops.conv(VOLUMES, CUBE)),
    (
        "conv2d_transpose",
        lambda x, k: K.conv2d_transpose(x, k, (None, 6, 8, 2), (2, 2), "same"),
        (IMAGES, TURNED),
        keras.ops.conv_transpose(IMAGES, TURNED, 2, "same"),
    ),
    (
        "depthwise_conv2d",
        lambda x, k: K.depthwise_conv2d(x, k, padding="same"),
        (IMAGES, KERNEL),
        keras.ops.depthwise_conv(IMAGES, KERNEL, padding="same"),
    ),
    (
        "separable_conv2d",
        lambda x, k, p: K.separable_conv2d(x, k, p),
        (IMAGES, KERNEL, np.ones((1, 1, 20, 2), np.float32)),
        keras.ops.separable_conv(IMAGES, KERNEL, np.ones((1, 1, 20, 2), np.float32)),
    ),
    ("pool2d", lambda x: K.pool2d(x, (2, 2)), (IMAGES,), keras.ops.max_pool(IMAGES, 2, 1)),
    (
        "pool3d",
        lambda x: K.pool3d(x, (2, 2, 2), (1, 1, 1), "same", pool_mode="avg"),
        (VOLUMES,),
        keras.ops.average_pool(VOLUMES, 2, 1, "same"),
    ),
    ("map_fn", lambda x: K.map_fn(K.sum, x), (X,), X.sum((1, 2))),
    ("map_fn dtype", lambda x: K.map_fn(K.argmax, x, dtype="float32"), (M,), M.argmax(1).astype(np.float32)),
    ("foldl", lambda x: K.foldl(lambda found, one: found - one, x), (M,), M[0] - M[1] - M[2]),
    ("foldr", lambda x: K.foldr(lambda found, one: found - one, x), (M,), M[2] - M[1] - M[0]),
    ("fold from", lambda x: K.foldl(lambda a, b: a * b, x, K.ones((4,))), (M,), M.prod(0)),
    ("in_top_k", lambda p, t: K.in_top_k(p, t, 1), (M, I), M.argmax(1) == I),
]


@pytest.mark.parametrize(("call", "given", "wanted"), [row[1:] for row in WINDOWS], ids=[row[0] for row in WINDOWS])
def test_windows_are_those_of_keras(call: Callable[..., Any], given: tuple[Any, ...], wanted: Any) -> None:
    test_functions_compute_what_numpy_does(call, given, np.asarray(wanted))


def test_creation() -> None:
    assert K.zeros((2, 3)).shape == (2, 3) and K.ones((2,), "int32").dtype == np.int32
    assert K.eye(3).tolist() == np.eye(3).tolist() and K.eye((2, 3)).shape == (2, 3)
    assert K.constant([1, 2]).dtype == np.float32
    assert K.constant(3, shape=(2, 2)).tolist() == [[3, 3], [3, 3]]
    assert K.arange(3).tolist() == [0, 1, 2]
    assert K.random_uniform((100,), 2, 3, seed=1).min() >= 2
    assert abs(float(K.random_normal((1000,), 5.0, 0.1, seed=1).mean()) - 5) < 0.1
    assert np.abs(K.truncated_normal((1000,), seed=1)).max() <= 2
    assert set(K.random_bernoulli((50,), 0.5, seed=1).tolist()) == {0.0, 1.0}
    assert K.dropout(np.ones(100, np.float32), 0.5, seed=1).max() == 2
    assert K.random_uniform_variable((2,), 0, 1).shape == K.random_normal_variable((2,), 0, 1).shape


def test_variables_are_read_and_written() -> None:
    x = K.variable([[1.0, 2.0]], name="x")
    assert isinstance(x, Variable) and K.int_shape(x) == (1, 2) and K.ndim(x) == 2 and K.count_params(x) == 2
    K.set_value(x, [[3, 4]])
    assert K.get_value(x).tolist() == [[3, 4]] and K.eval(x).dtype == np.float32
    K.update_add(x, 1.0)
    K.update_sub(x, [[0.0, 2.0]])
    assert K.batch_get_value([x])[0].tolist() == [[4, 3]]
    K.batch_set_value([(x, [[0.0, 1.0]])])
    K.moving_average_update(x, np.float32([[1, 1]]), 0.9)
    np.testing.assert_allclose(x.numpy(), [[0.1, 1.0]])
    K.update(x, [[9, 9]])
    assert x.numpy().tolist() == [[9, 9]]


def test_symbols_have_shapes_and_no_values() -> None:
    x = kgraph.Input((4,))
    assert K.int_shape(x) == (None, 4) and K.is_keras_tensor(x) and not K.is_sparse(x)
    assert K.dtype(x) == "float32" and K.ndim(x) == 2
    with pytest.raises(NotTracedError, match="known only at the call"):
        K.get_value(x)


def test_configuration() -> None:
    assert (K.floatx(), K.epsilon(), K.image_data_format()) == ("float32", 1e-7, "channels_last")
    K.set_epsilon(1e-5)
    try:
        assert kgraph.config.epsilon() == 1e-5
    finally:
        K.set_epsilon(1e-7)
    with K.name_scope("here"):
        pass
    K.clear_session()


def test_what_does_not_fit_is_refused() -> None:
    with pytest.raises(ShapeError, match="matrix"):
        K.repeat(X, 2)
    with pytest.raises(ShapeError, match="bias"):
        K.bias_add(IMAGES, M)
    with pytest.raises(ArgumentError, match="data_format"):
        K.spatial_2d_padding(IMAGES, data_format="middle")
    with pytest.raises(ShapeError, match="batch and channels"):
        K.spatial_2d_padding(X)
    with pytest.raises(ShapeError, match="condition"):
        K.switch(X > 0, M, M)
    with pytest.raises(ArgumentError, match="pool_mode must be max or avg"):
        K.pool2d(IMAGES, 2, pool_mode="mean")
    with pytest.raises(ShapeError, match=r"axis 1 of .* becomes 5 to 6, and output_shape wants 9"):
        K.conv2d_transpose(IMAGES, TURNED, (2, 9, 8, 2), 2, "same")


def test_every_public_name_is_there() -> None:
    assert [name for name in K.__all__ if not hasattr(K, name)] == []
