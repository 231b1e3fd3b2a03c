"""How data is split, and what its weights concern."""

from __future__ import annotations

import numpy as np

import kgraph as kg

rng = np.random.default_rng(4)
X, Y = rng.random((20, 3), dtype=np.float32), rng.integers(0, 2, 20)


def made() -> kg.Model:
    kg.utils.set_random_seed(3)
    model = kg.Sequential([kg.Input((3,)), kg.layers.Dense(2, activation="softmax")])
    model.compile("sgd", "sparse_categorical_crossentropy")
    return model


def test_weights_of_classes_do_not_concern_the_validation_split():
    model = made()
    fitted = model.fit(X, Y, validation_split=0.5, class_weight={0: 1.0, 1: 50.0}, verbose=0)
    np.testing.assert_allclose(fitted.history["val_loss"], model.evaluate(X[10:], Y[10:], verbose=0), rtol=1e-5)


def test_weights_of_samples_do_concern_it():
    weights = np.linspace(0, 3, 20)
    model = made()
    fitted = model.fit(X, Y, validation_split=0.5, sample_weight=weights, verbose=0)
    wanted = model.evaluate(X[10:], Y[10:], sample_weight=weights[10:], verbose=0)
    np.testing.assert_allclose(fitted.history["val_loss"], wanted, rtol=1e-5)
