"""Handwritten digits: a classifier trained by `fit`, then called a sample at a time.

The data come with scikit-learn (pip install "kgraph[test]"), so nothing is downloaded.
"""

from time import perf_counter

import numpy as np
from sklearn.datasets import load_digits

import kgraph as kg


def data():
    """1797 images of 8 by 8 as rows between 0 and 1, in random order; the last 360 are held out."""
    found = load_digits()
    order = np.random.default_rng(0).permutation(len(found.target))
    images, digits = (found.data[order] / 16).astype(np.float32), found.target[order]
    return (images[:-360], digits[:-360]), (images[-360:], digits[-360:])


def classifier():
    """64 pixels, one hidden layer, ten probabilities."""
    return kg.Sequential(
        [
            kg.Input((64,), name="pixels"),
            kg.layers.Dense(64, activation="relu", name="hidden"),
            kg.layers.Dense(10, activation="softmax", name="digit"),
        ]
    )


def microseconds(call, image, calls=2000):
    """What one call costs, once there was one."""
    call(image)
    start = perf_counter()
    for _ in range(calls):
        call(image)
    return (perf_counter() - start) / calls * 1e6


def main(epochs=30):
    """Train, then show what came of it; returns the accuracy on images never trained on."""
    kg.utils.set_random_seed(1)
    seen, unseen = data()
    model = classifier()
    model.compile(kg.optimizers.Adam(0.003), "sparse_categorical_crossentropy", metrics=["accuracy"])
    stop = kg.callbacks.EarlyStopping("val_loss", patience=5, restore_best_weights=True)
    started = perf_counter()
    history = model.fit(*seen, epochs=epochs, validation_split=0.1, callbacks=[stop], verbose=0)
    took = perf_counter() - started
    _, accuracy = model.evaluate(*unseen, verbose=0)
    print(f"accuracy on held-out digits: {accuracy:.1%} after {len(history.epoch)} epochs in {took:.1f} s")
    f = kg.compile(model)
    image = unseen[0][:1]
    print(
        f"one image: {microseconds(model.predict, image):.1f} us by predict, {microseconds(f, image):.1f} us compiled"
    )
    return accuracy


if __name__ == "__main__":
    main()
