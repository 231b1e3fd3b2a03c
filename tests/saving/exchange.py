"""Models that go to files and come back, by way of Keras and of kgraph."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import keras
import numpy as np

import kgraph as kg

Build = Callable[[Any], Any]  # a model, from `kg` or `keras`


def shaken(model: Any, seed: int = 0) -> Any:
    """The model with other weights than it began with."""
    draw = np.random.default_rng(seed)
    values = [np.asarray(value) for value in model.get_weights()]
    model.set_weights([draw.uniform(0.2, 0.9, value.shape).astype(value.dtype) for value in values])
    return model


def outputs(model: Any, x: Any) -> list[np.ndarray]:
    """What a model gives for arrays, as a flat list."""
    return [np.asarray(one) for one in kg.tree.flatten(model(x))]


def agree(one: Any, other: Any, x: Any, exact: bool = False) -> None:
    """Assert that two models give the same."""
    pairs = list(zip(outputs(one, x), outputs(other, x), strict=True))
    assert pairs
    for a, b in pairs:
        np.testing.assert_allclose(a, b, rtol=0 if exact else 1e-5, atol=0 if exact else 1e-5)


def there_and_back(build: Build, x: Any, folder: Path, **options: Any) -> tuple[Any, Any]:
    """Keras's model read by kgraph, and that one written and read by Keras. Asserts that all give the same."""
    theirs = shaken(build(keras))
    theirs.save(folder / "theirs.keras")
    ours = kg.models.load_model(folder / "theirs.keras", **options)
    agree(ours, theirs, x)
    ours.save(folder / "ours.keras")
    back = keras.models.load_model(folder / "ours.keras", **options)
    agree(ours, back, x)
    again = kg.models.load_model(folder / "ours.keras", **options)
    agree(ours, again, x, exact=True)
    assert again.get_config() == ours.get_config()
    return ours, back
