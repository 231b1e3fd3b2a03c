"""The same weights and data, trained here and by Keras, follow one curve."""

from __future__ import annotations

import keras
import numpy as np
import pytest

import kgraph as kg

# Keras's own code warns: of the copy keyword of __array__, and of variables that jax donates.
pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::UserWarning")

STEPS = 50
RNG = np.random.default_rng(3)
X = RNG.normal(size=(STEPS, 16, 6)).astype("float32")
Y = (X @ RNG.normal(size=(6, 3))).argmax(-1).astype("int32")

# name -> the optimizer made with the modules of either side
OPTIMIZERS = {
    "sgd": lambda k: k.optimizers.SGD(0.05),
    "momentum, nesterov, clipped": lambda k: k.optimizers.SGD(0.05, momentum=0.9, nesterov=True, clipnorm=0.5),
    "adam, decayed rate": lambda k: k.optimizers.Adam(k.optimizers.schedules.ExponentialDecay(0.01, 10, 0.9)),
    "adamw, all clipped": lambda k: k.optimizers.AdamW(0.01, weight_decay=0.02, global_clipnorm=1.0),
    "rmsprop, centred": lambda k: k.optimizers.RMSprop(0.005, momentum=0.5, centered=True, epsilon=1e-3),
    "adam, averaged, gathered": lambda k: k.optimizers.Adam(
        0.01, use_ema=True, ema_overwrite_frequency=7, gradient_accumulation_steps=2
    ),
}


@pytest.fixture(autouse=True)
def same_start_each_time():
    """Curves part where rounding decides; the digits of one start say more than those of many."""
    keras.utils.set_random_seed(11)


def model_of(k):
    return k.Sequential(
        [
            k.layers.Input((6,)),
            k.layers.Dense(8, activation="tanh", kernel_regularizer=k.regularizers.L2(0.01)),
            k.layers.BatchNormalization(),
            k.layers.Dense(8, activation="relu", activity_regularizer=k.regularizers.L1(0.001)),
            k.layers.Dense(3, activation="softmax", kernel_constraint=k.constraints.MaxNorm(1.5)),
        ]
    )


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_one_curve(name):
    models = [model_of(kg), model_of(keras)]
    models[0].set_weights(models[1].get_weights())
    curves = []
    for model, k in zip(models, (kg, keras), strict=True):
        model.compile(OPTIMIZERS[name](k), "sparse_categorical_crossentropy", metrics=["accuracy"])
        curves.append([model.train_on_batch(x, y) for x, y in zip(X, Y, strict=True)])
    np.testing.assert_allclose(*curves, rtol=1e-4, atol=1e-4)
    for ours, theirs in zip(models[0].get_weights(), models[1].get_weights(), strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=2e-3, atol=2e-4)


def headline(k):
    """Two inputs, two outputs: the model of Keras's old guide to the functional API."""
    main = k.layers.Input((5,), dtype="int32", name="main_input")
    x = k.layers.Embedding(20, 6)(main)
    x = k.layers.LSTM(4)(x)
    auxiliary = k.layers.Dense(1, activation="sigmoid", name="aux_output")(x)
    other = k.layers.Input((3,), name="aux_input")
    x = k.layers.Concatenate()([x, other])
    x = k.layers.Dense(8, activation="relu")(x)
    return k.Model([main, other], [k.layers.Dense(1, activation="sigmoid", name="main_output")(x), auxiliary])


COMPILED = {
    "one loss, a list of weights": {"loss": "binary_crossentropy", "loss_weights": [1.0, 0.2]},
    "by name": {
        "loss": {"main_output": "binary_crossentropy", "aux_output": "mse"},
        "loss_weights": {"main_output": 1.0, "aux_output": 0.2},
        "metrics": {"main_output": ["accuracy"], "aux_output": ["mae"]},
    },
}


@pytest.mark.parametrize("name", COMPILED)
def test_the_model_with_two_inputs_and_two_outputs(name):
    words = RNG.integers(0, 20, (40, 5)).astype("int32")
    more, first, second = (RNG.normal(size=(40, n)).astype("float32") for n in (3, 1, 1))
    targets = {"main_output": (first > 0).astype("float32"), "aux_output": (second > 0).astype("float32")}
    models = [headline(kg), headline(keras)]
    models[0].set_weights(models[1].get_weights())
    found = []
    for model in models:
        options = dict(COMPILED[name])
        if model is models[1] and isinstance(options["loss"], str):
            options["loss"] = [options["loss"]] * 2  # Keras 3 wants one for each
        model.compile("rmsprop", **options)
        by_name = {"main_input": words, "aux_input": more}
        if model is models[1]:
            history = model.fit(
                [words, more], list(targets.values()), batch_size=16, epochs=3, shuffle=False, verbose=0
            )
        else:
            history = model.fit(by_name, targets, batch_size=16, epochs=3, shuffle=False, verbose=0)
        found.append(history.history)
    assert set(found[0]) == set(found[1])
    for key in found[0]:
        np.testing.assert_allclose(found[0][key], found[1][key], rtol=1e-4, atol=1e-4, err_msg=key)
    results = [model.evaluate([words, more], targets, verbose=0, return_dict=True) for model in models]
    for key, value in results[0].items():
        np.testing.assert_allclose(value, results[1][key], rtol=1e-3, atol=1e-4, err_msg=key)


def test_sample_weights_class_weights_and_validation():
    x, y = X.reshape(-1, 6)[:100], Y.reshape(-1)[:100]
    weights = RNG.uniform(0.1, 2, 100).astype("float32")
    found = []
    for kind in ("sample", "class"):
        models = [model_of(kg), model_of(keras)]
        models[0].set_weights(models[1].get_weights())
        for model in models:
            model.compile("sgd", "sparse_categorical_crossentropy", metrics=["accuracy"], weighted_metrics=["accuracy"])
            options = {"sample_weight": weights} if kind == "sample" else {"class_weight": {0: 1.0, 1: 3.0}}
            history = model.fit(
                x, y, epochs=2, batch_size=32, shuffle=False, verbose=0, validation_data=(x[:20], y[:20]), **options
            )
            found.append(history.history)
    for ours, theirs in (found[:2], found[2:]):
        for key in ("loss", "accuracy", "val_loss", "val_accuracy"):
            np.testing.assert_allclose(ours[key], theirs[key], rtol=1e-4, atol=1e-4, err_msg=key)
