"""Initializers against Keras: the values where they are certain, the distribution where they are drawn."""

from __future__ import annotations

import math
import pickle
import sys
from typing import Any

import keras
import numpy as np
import pytest

from kgraph import config, initializers, seeds
from kgraph.errors import ArgumentError, DTypeError, MissingExtraError, RangeError, ShapeError
from kgraph.initializers.fourier import WINDOWS
from kgraph.initializers.lookup import CLASSES, NAMES
from kgraph.initializers.scaling import compute_fans

SCALED = ("GlorotUniform", "GlorotNormal", "HeUniform", "HeNormal", "LecunUniform", "LecunNormal")
RANDOM = (*SCALED, "RandomNormal", "RandomUniform", "TruncatedNormal", "VarianceScaling", "Orthogonal")
SAMPLE = (200, 150)  # 30000 values: a mean is within 5 / sqrt(30000) = 0.03 standard deviations of its limit
ARGUMENTS: dict[str, dict[str, Any]] = {
    "Constant": {"value": 2.5},
    "Identity": {"gain": 3.0},
    "STFT": {"side": "imag", "window": "hamming", "scaling": "spectrum", "periodic": True},
    "RandomNormal": {"mean": 1.0, "stddev": 0.5, "seed": 7},
    "RandomUniform": {"minval": -1.0, "maxval": 3.0, "seed": 7},
    "TruncatedNormal": {"mean": -1.0, "stddev": 2.0, "seed": 7},
    "VarianceScaling": {"scale": 0.3, "mode": "fan_out", "distribution": "uniform", "seed": 7},
    "Orthogonal": {"gain": 1.5, "seed": 7},
    **{name: {"seed": 7, "input_axes": [0], "output_axes": [1]} for name in SCALED},
}
NAMED = [one.__name__ for one in CLASSES]


def both_classes(name: str) -> tuple[Any, Any]:
    """The class of this name in kgraph, and Keras's."""
    return getattr(initializers, name), getattr(keras.initializers, name)


def both(name: str, **arguments: Any) -> tuple[Any, Any]:
    """This initializer of kgraph, and Keras's."""
    ours, theirs = both_classes(name)
    return ours(**arguments), theirs(**arguments)


def assert_same_distribution(ours: np.ndarray, theirs: np.ndarray) -> None:
    """Two large samples agree in mean, spread and quantiles, within five standard errors."""
    ours, theirs = np.sort(ours.astype(float), None), np.sort(theirs.astype(float), None)
    margin = 5 * math.sqrt(2 / ours.size)  # in standard deviations of the difference of two means
    assert ours.mean() == pytest.approx(theirs.mean(), abs=margin * theirs.std())
    assert ours.std() == pytest.approx(theirs.std(), rel=margin)
    distance = np.abs(np.searchsorted(theirs, ours) - np.arange(ours.size)).max() / ours.size
    assert distance < 1.95 * math.sqrt(2 / ours.size)  # Kolmogorov and Smirnov, at 0.1 percent


@pytest.mark.parametrize("dtype", ["float32", "float16", "bfloat16", "int32", "uint8", "bool", None])
@pytest.mark.parametrize("name", ["Zeros", "Ones", "Constant", "Identity"])
def test_certain_values_are_those_of_keras(name: str, dtype: str | None) -> None:
    ours, theirs = both(name, **({"value": 2.75} if name == "Constant" else {}))
    for shape in [(3, 4), (4, 3), (0, 2)]:
        wanted = np.asarray(theirs(shape, dtype))
        made = ours(shape, dtype)
        assert made.dtype == (dtype or "float32")
        np.testing.assert_array_equal(made, wanted.astype(made.dtype), strict=True)


def test_a_constant_may_be_a_row() -> None:
    ours, theirs = both("Constant", value=[1.0, 2.0, 3.0])
    np.testing.assert_array_equal(ours((2, 3)), np.asarray(theirs((2, 3))), strict=True)


@pytest.mark.parametrize("shape", [(2,), (3, 2, 3), ()])
def test_a_constant_that_does_not_broadcast_is_refused(shape: tuple[int, ...]) -> None:
    with pytest.raises(ShapeError, match="does not broadcast"):
        initializers.Constant(np.ones((3, 2)))(shape)


@pytest.mark.parametrize("name", ["Zeros", "Ones", "Constant", "Identity", "GlorotUniform"])
def test_each_call_gives_an_array_of_its_own(name: str) -> None:
    initializer = getattr(initializers, name)()
    initializer((2, 2))[...] = 9.0
    assert (initializer((2, 2)) != 9.0).all()


@pytest.mark.parametrize("periodic", [False, True])
@pytest.mark.parametrize("scaling", ["density", "spectrum", None])
@pytest.mark.parametrize("side", ["real", "imag"])
@pytest.mark.parametrize("window", [*WINDOWS, None])
def test_a_fourier_kernel_is_that_of_keras(window: str | None, side: str, scaling: str | None, periodic: bool) -> None:
    ours, theirs = both("STFT", window=window, side=side, scaling=scaling, periodic=periodic)
    for shape in [(16, 1, 9), (13, 1, 6), (1, 1, 3), (2, 1, 2)]:
        with np.errstate(all="ignore"):
            wanted = np.asarray(theirs(shape))
        if np.isfinite(wanted).all():  # a hann window of 2 samples is all zeros, and its norm too
            np.testing.assert_allclose(ours(shape), wanted, rtol=0, atol=2e-5)


def test_a_fourier_kernel_takes_the_values_of_a_window() -> None:
    ours, theirs = both("STFT", window=[1.0, 2.0, 0.5])
    np.testing.assert_allclose(ours((3, 1, 4)), np.asarray(theirs((3, 1, 4))), rtol=0, atol=1e-6)
    with pytest.raises(ShapeError, match="frame length is 4"):
        ours((4, 1, 4))


@pytest.mark.parametrize("shape", [(), (7,), (3, 5), (3, 4, 5), (2, 3, 4, 5), (2, 2, 3, 4, 5), (0, 4)])
@pytest.mark.parametrize("axes", [(None, None), ([0], [-1]), ([0], None)])
def test_fans_are_those_of_keras(shape: tuple[int, ...], axes: tuple[Any, Any]) -> None:
    from keras.src.initializers.random_initializers import compute_fans as theirs

    if shape or axes[1] is None:
        assert compute_fans(shape, *axes) == theirs(shape, *axes)


def test_axes_outside_the_shape_are_refused() -> None:
    with pytest.raises(RangeError, match="outside the shape"):
        initializers.GlorotUniform(input_axes=[2], output_axes=[1])((3, 4))


def formula(name: str, fan_in: int, fan_out: int) -> float:
    """The standard deviation that the paper of this initializer asks for."""
    scale = 2.0 if name.startswith("He") else 1.0
    return math.sqrt(scale / ((fan_in + fan_out) / 2 if name.startswith("Glorot") else fan_in))


@pytest.mark.parametrize("shape", [SAMPLE, (3, 3, 40, 80), (30000,)])
@pytest.mark.parametrize("name", SCALED)
def test_a_scaled_initializer_has_the_spread_of_its_formula(name: str, shape: tuple[int, ...]) -> None:
    values = getattr(initializers, name)(seed=1)(shape)
    stddev = formula(name, *compute_fans(shape))
    margin = 5 / math.sqrt(values.size)
    assert values.mean() == pytest.approx(0.0, abs=margin * stddev)
    assert values.std() == pytest.approx(stddev, rel=margin)
    bound = math.sqrt(3.0) * stddev if name.endswith("Uniform") else 2.0 * stddev / 0.87962566103423978
    assert 0.99 * bound < np.abs(values).max() <= bound * (1 + 1e-6)


@pytest.mark.parametrize("name", [name for name in RANDOM if name != "Orthogonal"])
def test_samples_follow_the_distribution_of_keras(name: str) -> None:
    ours, theirs = both(name, **ARGUMENTS[name])
    assert_same_distribution(ours(SAMPLE), np.asarray(theirs(SAMPLE)))
    ours, theirs = both(name, seed=3)
    assert_same_distribution(ours(SAMPLE), np.asarray(theirs(SAMPLE)))


@pytest.mark.parametrize("mode", ["fan_in", "fan_out", "fan_avg"])
@pytest.mark.parametrize("distribution", ["uniform", "normal", "truncated_normal", "untruncated_normal", "UNIFORM"])
def test_every_variance_scaling_follows_keras(mode: str, distribution: str) -> None:
    ours, theirs = both("VarianceScaling", scale=0.7, mode=mode, distribution=distribution, seed=5)
    assert ours.get_config() == theirs.get_config()
    assert_same_distribution(ours((50, 600)), np.asarray(theirs((50, 600))))


@pytest.mark.parametrize(
    ("initializer", "low", "high"),
    [
        (initializers.TruncatedNormal(2.0, 0.5, seed=2), 1.0, 3.0),
        (initializers.RandomUniform(2.0, 5.0, seed=2), 2.0, 5.0),
    ],
)
def test_values_reach_their_bounds_and_not_beyond(initializer: Any, low: float, high: float) -> None:
    values = initializer((300, 300))
    assert low <= values.min() < low + 0.001
    assert high - 0.001 < values.max() <= high


@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "float32", "float64"])
@pytest.mark.parametrize("name", RANDOM)
def test_random_values_come_in_every_float_dtype(name: str, dtype: str) -> None:
    exact = getattr(initializers, name)(seed=4)((60, 40), "float32")
    values = getattr(initializers, name)(seed=4)((60, 40), dtype)
    assert values.dtype == dtype
    assert values.astype(float).std() == pytest.approx(exact.std(), rel=0.1)


@pytest.mark.parametrize("shape", [(6, 4), (4, 6), (5, 5), (2, 3, 4), (3, 3, 2, 30), (0, 3), (3, 0)])
def test_orthogonal_columns_or_rows_have_length_gain(shape: tuple[int, ...]) -> None:
    ours, theirs = both("Orthogonal", gain=2.0, seed=3)
    for values in (ours(shape), np.asarray(theirs(shape))):
        assert values.shape == shape
        flat = values.reshape(math.prod(shape[:-1]), shape[-1])
        products = flat @ flat.T if flat.shape[0] < flat.shape[1] else flat.T @ flat
        np.testing.assert_allclose(products, 4.0 * np.eye(len(products)), atol=2e-6)


def test_orthogonal_matrices_are_spread_like_those_of_keras() -> None:
    ours, theirs = (
        np.stack([np.asarray(one(seed=i)((3, 3))) for i in range(60)]) for one in both_classes("Orthogonal")
    )
    assert ours.mean(0) == pytest.approx(theirs.mean(0), abs=5 * math.sqrt(2 / 3 / 60))
    assert np.linalg.det(ours).min() < 0 < np.linalg.det(ours).max()


@pytest.mark.parametrize("seed", [None, 11, -3, np.int64(8)])
@pytest.mark.parametrize("name", RANDOM)
def test_one_object_gives_the_same_values_at_each_call(name: str, seed: int | None) -> None:
    initializer = getattr(initializers, name)(seed=seed)
    values = initializer((4, 5))
    np.testing.assert_array_equal(initializer((4, 5)), values)
    np.testing.assert_array_equal(pickle.loads(pickle.dumps(initializer))((4, 5)), values)


@pytest.mark.parametrize("name", RANDOM)
def test_equal_seeds_give_equal_values_and_others_do_not(name: str) -> None:
    make = getattr(initializers, name)
    np.testing.assert_array_equal(make(seed=1)((4, 5)), make(seed=1)((4, 5)))
    assert (make(seed=1)((4, 5)) != make(seed=2)((4, 5))).any()
    assert (make()((4, 5)) != make()((4, 5))).any()


def test_set_seed_repeats_the_values_of_initializers_without_a_seed() -> None:
    seeds.set_seed(5)
    first = initializers.GlorotUniform()((3, 3))
    seeds.set_seed(5)
    np.testing.assert_array_equal(initializers.GlorotUniform()((3, 3)), first)


@pytest.mark.parametrize("seed", [1.5, "7", {"class_name": "SeedGenerator"}])
def test_a_seed_is_an_int(seed: Any) -> None:
    with pytest.raises(ArgumentError, match="seed is an int"):
        initializers.RandomNormal(seed=seed)


@pytest.mark.parametrize("name", [name for name in NAMED if name != "Identity"])
def test_configs_are_those_of_keras(name: str) -> None:
    for arguments in ({}, ARGUMENTS.get(name, {})):
        ours, theirs = both(name, **arguments)
        assert ours.get_config() == theirs.get_config()
        assert initializers.serialize(ours) == keras.initializers.serialize(theirs)


@pytest.mark.parametrize("name", NAMED)
def test_configs_pass_between_kgraph_and_keras(name: str) -> None:
    ours, theirs = both(name, **ARGUMENTS.get(name, {}))
    here: Any = initializers.deserialize(keras.initializers.serialize(theirs))
    there = keras.initializers.deserialize(initializers.serialize(ours))
    assert (type(here), type(there)) == (type(ours), type(theirs))
    if name != "Identity":  # whose gain Keras leaves out of the config
        assert here.get_config() == there.get_config() == ours.get_config()
    assert ours.clone().get_config() == ours.get_config()


def test_an_identity_keeps_its_gain_which_keras_forgets() -> None:
    ours, theirs = both("Identity", gain=3.0)
    assert (ours.get_config(), theirs.get_config()) == ({"gain": 3.0}, {})
    assert keras.initializers.deserialize(initializers.serialize(ours)).gain == 3.0


def test_all_public_names_of_keras_are_here() -> None:
    public = {name for name in dir(keras.initializers) if not name.startswith("_")}
    assert public <= set(dir(initializers))
    for name in public & set(NAMES):
        assert getattr(initializers, name) is NAMES[name]


def test_get_knows_the_names_that_keras_knows() -> None:
    from keras.src.initializers import ALL_OBJECTS_DICT

    for name, theirs in ALL_OBJECTS_DICT.items():
        if theirs is not keras.Initializer:
            assert type(initializers.get(name)).__name__ == theirs.__name__


def test_get_takes_none_classes_objects_functions_and_configs() -> None:
    ones = initializers.Ones()
    assert initializers.get(None) is None
    assert initializers.get(ones) is ones
    assert initializers.get(np.zeros) is np.zeros
    assert isinstance(initializers.get(initializers.HeNormal), initializers.HeNormal)
    made: Any = initializers.get({"class_name": "he_uniform", "config": {"seed": 3}})
    assert isinstance(made, initializers.HeUniform) and made.seed == 3
    assert isinstance(initializers.get({"class_name": "Zeros"}), initializers.Zeros)


def test_get_takes_an_array_of_the_right_shape() -> None:
    values = np.arange(6.0).reshape(2, 3)
    made: Any = initializers.get(values)
    np.testing.assert_array_equal(made((2, 3), "int32"), values.astype("int32"), strict=True)
    with pytest.raises(ShapeError, match=r"has shape \(2, 3\), not \(3, 2\)"):
        made((3, 2))
    again: Any = initializers.deserialize(initializers.serialize(made))
    np.testing.assert_array_equal(again((2, 3), "float64"), values, strict=True)


def test_an_array_as_constant_survives_its_config() -> None:
    ours, theirs = both("Constant", value=np.array([1.0, 2.0], "float32"))
    assert initializers.serialize(ours) == keras.initializers.serialize(theirs)
    again: Any = initializers.deserialize(initializers.serialize(ours))
    np.testing.assert_array_equal(again.value, ours.value, strict=True)


class Halves(initializers.Initializer):
    """A user's own initializer."""

    def __call__(self, shape: Any, dtype: Any = None) -> np.ndarray:
        return np.full(shape, 0.5, dtype or "float32")


def thirds(shape: Any, dtype: Any = None) -> np.ndarray:
    return np.full(shape, 1 / 3, dtype or "float32")


def test_initializers_of_the_user_come_back_through_custom_objects() -> None:
    description = initializers.serialize(Halves())
    assert isinstance(initializers.deserialize(description, {"Halves": Halves}), Halves)
    assert initializers.deserialize(initializers.serialize(thirds), {"thirds": thirds}) is thirds
    assert initializers.serialize(thirds) == keras.initializers.serialize(thirds)
    with pytest.raises(ArgumentError, match="unknown initializer 'Halves'"):
        initializers.deserialize(description)


def test_an_unknown_name_lists_its_neighbours() -> None:
    with pytest.raises(ArgumentError, match="unknown initializer 'GlorotUnifrom'; did you mean 'glorot_uniform'"):
        initializers.get("GlorotUnifrom")
    with pytest.raises(ArgumentError, match="unknown initializer 'qqq'; known: zeros, ones, constant"):
        initializers.get("qqq")


@pytest.mark.parametrize("identifier", [3, 2.5, [1.0], object()])
def test_what_is_no_initializer_is_refused(identifier: Any) -> None:
    with pytest.raises(ArgumentError, match="is no initializer"):
        initializers.get(identifier)


@pytest.mark.parametrize("description", [{"config": {}}, 3])
def test_what_is_no_config_is_refused(description: Any) -> None:
    with pytest.raises(ArgumentError, match="is no initializer"):
        initializers.deserialize(description)


@pytest.mark.parametrize(
    ("name", "arguments"),
    [
        ("VarianceScaling", {"scale": 0.0}),
        ("VarianceScaling", {"mode": "fan"}),
        ("VarianceScaling", {"distribution": "gamma"}),
        ("STFT", {"side": "both"}),
        ("STFT", {"scaling": "l2"}),
        ("STFT", {"window": "no such window"}),
        ("RandomNormal", {"seed": 1.5}),
    ],
)
def test_arguments_that_keras_refuses_are_refused(name: str, arguments: dict[str, Any]) -> None:
    for make in both_classes(name):
        with pytest.raises(ValueError):
            make(**arguments)


@pytest.mark.parametrize(
    ("name", "shape"),
    [
        ("Identity", (3,)),
        ("Identity", (2, 3, 4)),
        ("Orthogonal", (3,)),
        ("STFT", (4, 5)),
        ("STFT", (4, 2, 5)),
        ("STFT", (4, 1, 1)),
        ("Zeros", (2, None)),
        ("GlorotUniform", (2, -1)),
        ("HeNormal", (2.5, 3)),
    ],
)
def test_shapes_that_do_not_fit_are_refused(name: str, shape: Any) -> None:
    with pytest.raises(ShapeError):
        getattr(initializers, name)()(shape)


@pytest.mark.parametrize("dtype", ["int32", "bool"])
@pytest.mark.parametrize("name", RANDOM)
def test_random_values_are_floats(name: str, dtype: str) -> None:
    with pytest.raises(DTypeError, match="are floats"):
        getattr(initializers, name)()((3, 3), dtype)


def test_bfloat16_without_its_package_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ml_dtypes", None)
    for name in ("Zeros", "GlorotUniform", "Orthogonal"):
        with pytest.raises(MissingExtraError, match=r"kgraph\[half\]"):
            getattr(initializers, name)()((2, 2), "bfloat16")


def test_no_dtype_means_floatx() -> None:
    try:
        config.set_floatx("float64")
        assert {getattr(initializers, name)()((4, 4)).dtype.name for name in ("Zeros", "HeNormal")} == {"float64"}
    finally:
        config.set_floatx("float32")


def test_an_initializer_prints_its_arguments() -> None:
    assert repr(initializers.RandomNormal(seed=3)) == "RandomNormal(mean=0.0, stddev=0.05, seed=3)"
