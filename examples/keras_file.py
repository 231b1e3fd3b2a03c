"""A model out of a file of Keras, and back into one.

Keras itself (pip install "kgraph[test]") is here only to write the first file and to read the last one.
"""

import os
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np

os.environ.setdefault("KERAS_BACKEND", "jax")
import keras

import kgraph as kg


def of_keras():
    """A small model, compiled by Keras, not yet trained."""
    keras.utils.set_random_seed(1)
    model = keras.Sequential(
        [keras.Input((8,)), keras.layers.Dense(16, activation="relu"), keras.layers.Dense(3, activation="softmax")]
    )
    model.compile("adam", "sparse_categorical_crossentropy", metrics=["accuracy"])
    return model


def main():
    """Tell how far the answers are apart, on both ways; returns these."""
    random = np.random.default_rng(0)
    x = random.normal(size=(200, 8)).astype("float32")
    y = x[:, :3].argmax(-1)
    theirs = of_keras()
    theirs.fit(x, y, epochs=2, verbose=0)
    with TemporaryDirectory() as folder:
        there, back = Path(folder) / "there.keras", Path(folder) / "back.keras"
        theirs.save(there)
        ours = kg.models.load_model(there)  # weights, optimizer and its state, loss and metrics
        before = float(np.abs(ours.predict(x, verbose=0) - theirs.predict(x, verbose=0)).max())
        ours.fit(x, y, epochs=5, verbose=0)
        ours.save(back)
        again = keras.models.load_model(back)
        after = float(np.abs(ours.predict(x, verbose=0) - again.predict(x, verbose=0)).max())
    print(f"read from Keras: {before:.1e} apart; trained on here and given back: {after:.1e} apart")
    return before, after


if __name__ == "__main__":
    main()
