"""More functions that keras.ops has too: sorted, counted, without NaN, in blocks, of images. See test_against_keras."""

from __future__ import annotations

import inspect
from typing import Any

import keras
import numpy as np
import pytest
from test_against_keras import BYTES, I, J, P, U, X, agree, same

from kgraph import ops
from kgraph.errors import ArgumentError, ShapeError
from kgraph.ops.missing import WHY

HOLES = np.where(X > 1.0, np.float32(np.nan), X)
HOLES[1, 2] = np.nan
IMAGE = X.repeat(2, 2)[None].transpose(0, 2, 1, 3)[..., :4]  # (1, 10, 3, 4)
LINE = np.sort(U[0])
WITHOUT_NAN = [
    "nansum", "nanprod", "nanmax", "nanmin", "nanmean", "nanvar", "nanstd", "nanargmax", "nanargmin", "nanmedian",
]  # fmt: skip


@pytest.mark.parametrize("name", WITHOUT_NAN)
@pytest.mark.parametrize("axis", [None, -1])
def test_reductions_without_nan(name: str, axis: int | None) -> None:
    agree(name, HOLES, axis=axis, keepdims=axis is None)
    if axis is None:
        agree(name, I)


CALLS: list[tuple[str, tuple[Any, ...], dict[str, Any]]] = [
    ("sort", (HOLES,), {"axis": 1}),
    ("sort", (BYTES,), {"axis": None}),
    ("argsort", (I,), {}),
    ("argsort", (HOLES,), {"axis": 0}),
    ("top_k", (X, 2), {}),
    ("top_k", (I, 3), {}),
    ("in_top_k", (J[:, 0], U, 2), {}),
    ("median", (HOLES,), {"axis": (0, 1)}),
    ("median", (I,), {}),
    ("quantile", (X, 0.2), {"axis": 1, "method": "nearest"}),
    ("quantile", (X, [0.2, 0.9]), {"keepdims": True}),
    ("percentile", (X, 30.0), {"axis": -1}),
    ("nanpercentile", (HOLES, 40), {"axis": 1}),
    ("nanquantile", (HOLES, 0.4), {"method": "lower"}),
    ("searchsorted", (LINE, U), {}),
    ("searchsorted", (LINE, LINE), {"side": "right"}),
    ("digitize", (U, LINE), {}),
    ("isin", (I, J), {"invert": True}),
    ("histogram", (X.ravel(),), {"bins": 5}),
    ("histogram", (X.ravel(), 4, (-1.0, 1.0)), {}),
    ("nancumsum", (HOLES,), {"axis": 1}),
    ("nancumprod", (HOLES,), {}),
    ("diff", (X,), {"n": 2, "axis": 1}),
    ("diff", (I > 2,), {}),
    ("ptp", (X,), {"axis": (0, 2)}),
    ("trapezoid", (X,), {"dx": 0.5, "axis": 1}),
    ("trapezoid", (U, LINE), {}),
    ("vander", (U[0], 3), {}),
    ("vander", (J[0],), {"increasing": True}),
    ("geomspace", (1.0, 100.0, 5), {}),
    ("geomspace", (-1.0, -8.0, 4), {"endpoint": False}),
    ("unravel_index", (J, (3, 4)), {}),
    ("correlate", (U[0], LINE[:3]), {}),
    ("correlate", (LINE[:2], U[0]), {"mode": "same"}),
    ("correlate", (U[0], LINE), {"mode": "full"}),
    ("corrcoef", (U,), {}),
    ("cdist", (U, U[:2]), {}),
    ("psnr", (U, U * 0.9, 2.0), {}),
    ("segment_min", (U, np.array([0, 2, 0], np.int32)), {"num_segments": 4}),
    ("segment_prod", (U, np.array([0, 2, 0], np.int32)), {"num_segments": 4}),
    ("bartlett", (5,), {}),
    ("blackman", (5,), {}),
    ("hamming", (5,), {}),
    ("hanning", (6,), {}),
    ("kaiser", (5, 2.0), {}),
    ("depth_to_space", (IMAGE, 2), {}),
    ("depth_to_space", (IMAGE.transpose(0, 3, 1, 2), 2, "channels_first"), {}),
    ("space_to_depth", (IMAGE[:, :, :2], 2), {}),
    ("space_to_depth", (IMAGE[:, :4, :2].transpose(0, 3, 1, 2), 2, "channels_first"), {}),
    ("extract_sequences", (X, 3, 2), {}),
    ("unfold", (IMAGE, (2, 3)), {"stride": 1, "padding": 1, "dilation": (1, 2)}),
    ("fold", (U.reshape(1, 4, 3).repeat(3, 2), (4, 4), 2), {}),
    ("fold", (U.reshape(1, 12, 1).repeat(4, 2), (4, 4), 2), {"stride": 2}),
    ("adaptive_average_pool", (IMAGE, (4, 2)), {}),
    ("adaptive_max_pool", (IMAGE, 3), {}),
    ("adaptive_max_pool", (X, 3), {"data_format": "channels_first"}),
    ("rearrange", (X, "a (b c) d -> c (d a) b"), {"b": 2}),
    ("slogdet", (X[:, :3, :3],), {}),
    ("cholesky_inverse", (P[0, :3, :3],), {}),
    ("fliplr", (X,), {}),
    ("flipud", (X,), {}),
    ("allclose", (HOLES, HOLES), {"equal_nan": True}),
    ("allclose", (U, U * 1.001), {"rtol": 1e-2}),
    ("allclose", (U, U + 1), {}),
    ("bitwise_invert", (I,), {}),
    ("bitwise_not", (BYTES,), {}),
    ("conjugate", (X,), {}),
    ("erfc", (X,), {}),
    ("erfinv", (U,), {}),
    ("hard_swish", (X * 4,), {}),
    ("swish", (X,), {}),
    ("sparsemax", (X * 100,), {}),  # one 1; where several share it, those of Keras do not add up: see test_activations
    ("stop_gradient", (X,), {}),
    ("depthwise_conv", (IMAGE, P[:2, :2, :4, None]), {"strides": 2, "padding": "same"}),
    ("separable_conv", (IMAGE, P[:2, :2, :4, None], P[None, :1, :4]), {}),
]


@pytest.mark.parametrize(("name", "args", "options"), CALLS, ids=[f"{n}-{i}" for i, (n, _, _) in enumerate(CALLS)])
def test_arguments(name: str, args: tuple[Any, ...], options: dict[str, Any]) -> None:
    found = getattr(ops, name)(*args, **options)
    if not isinstance(found, (tuple, list)):
        agree(name, *args, **options)
        return
    for have, want in zip(found, getattr(keras.ops, name)(*args, **options), strict=True):
        same(have, want)


NAMES = sorted({*WITHOUT_NAN, *(name for name, _, _ in CALLS)})
OTHERS = [
    "argpartition", "bincount", "unique", "nonzero", "cholesky", "inv", "det", "logdet", "qr", "lstsq", "solve",
    "solve_triangular", "ctc_loss", "ctc_decode", "vectorized_map", "associative_scan",
]  # fmt: skip


@pytest.mark.parametrize("name", [*NAMES, *OTHERS])
def test_parameters_have_the_names_that_keras_gives_them(name: str) -> None:
    ours, theirs = (list(inspect.signature(getattr(one, name)).parameters) for one in (ops, keras.ops))
    assert ours[: len(theirs)] == theirs


def test_names_that_are_missing_say_why() -> None:
    for name in set(dir(keras.ops)) - set(dir(ops)):
        if not name.startswith("_") and not hasattr(ops, name):
            assert name in WHY
            with pytest.raises(AttributeError, match=name):
                getattr(ops, name)


@pytest.mark.parametrize("module", ["nn", "image", "linalg"])
def test_names_of_a_module_are_there_or_say_why_not(module: str) -> None:
    theirs, ours = getattr(keras.ops, module), getattr(ops, module)
    for name in set(dir(theirs)) - set(WHY):
        assert name.startswith("_") or callable(getattr(ours, name))
    for name in set(dir(theirs)) & set(WHY):
        with pytest.raises(AttributeError, match=f"kgraph.ops.{module} has no '{name}': "):
            getattr(ours, name)


@pytest.mark.parametrize("reverse", [False, True])
@pytest.mark.parametrize("size", [1, 2, 5, 8])
def test_associative_scan(size: int, reverse: bool) -> None:
    x = np.random.default_rng(size).normal(size=(2, size)).astype(np.float32)

    def combine(one: Any, other: Any) -> Any:
        return one[0] * other[0], other[0] * one[1] + other[1]

    have, want = (one.associative_scan(combine, (x, x), reverse, axis=1) for one in (ops, keras.ops))
    for one, other in zip(have, want, strict=True):
        same(one, other)


@pytest.mark.parametrize("interpolation", ["nearest", "bilinear", "bicubic", "lanczos3"])
def test_resize(interpolation: str) -> None:
    for antialias in (False, True)[: 1 if interpolation == "nearest" else 2]:
        options: dict[str, Any] = {"interpolation": interpolation, "antialias": antialias}
        same(ops.image.resize(IMAGE, (4, 7), **options), keras.ops.image.resize(IMAGE, (4, 7), **options))


def test_images() -> None:
    rgb = np.abs(IMAGE[..., :3])
    for name, options in (
        ("rgb_to_grayscale", {}),
        ("pad_images", {"top_padding": 1, "left_padding": 2, "target_height": 14, "target_width": 9}),
        ("crop_images", {"top_cropping": 1, "right_cropping": 1, "target_height": 3, "target_width": 2}),
    ):
        same(getattr(ops.image, name)(rgb, **options), getattr(keras.ops.image, name)(rgb, **options))
    with pytest.raises(ArgumentError, match="two are given"):
        ops.image.pad_images(rgb, top_padding=1)
    with pytest.raises(ArgumentError, match="interpolation"):
        ops.image.resize(rgb, (3, 3), "cubic")
    with pytest.raises(ShapeError, match="three channels"):
        ops.image.rgb_to_grayscale(IMAGE)


def test_what_is_refused() -> None:
    with pytest.raises(ArgumentError, match="same axes"):
        ops.rearrange(X, "a b c -> a b")
    with pytest.raises(ShapeError, match="not divisible"):
        ops.depth_to_space(IMAGE, 3)
    with pytest.raises(ShapeError, match="blocks make an output"):
        ops.fold(X, (9, 9), 2)
    with pytest.raises(ArgumentError, match="mode is valid"):
        ops.correlate(LINE, LINE, "all")
    with pytest.raises(AttributeError, match="complex"):
        _ = ops.rfft
