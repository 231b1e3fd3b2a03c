"""Handwritten digits: a classifier compiled with its gradient, and trained by a loop of its own on live weights.

The data come with scikit-learn (pip install "kgraph[test]"), so nothing is downloaded.
"""

from time import perf_counter

import numpy as np
from sklearn.datasets import load_digits

import kgraph as kg

EPOCHS, BATCH, RATE, MOMENTUM = 30, 32, 0.1, 0.9


def data():
    """1797 images of 8 by 8 as rows between 0 and 1, in random order; the last 360 are held out."""
    found = load_digits()
    order = np.random.default_rng(0).permutation(len(found.target))
    images, digits = (found.data[order] / 16).astype(np.float32), found.target[order].astype(np.int32)
    return (images[:-360], digits[:-360]), (images[-360:], digits[-360:])


def classifier():
    """64 pixels, one hidden layer, ten probabilities."""
    kg.utils.set_random_seed(1)
    pixels = kg.Input((64,), name="pixels")
    hidden = kg.layers.Dense(64, activation="relu", name="hidden")(pixels)
    return kg.Model(pixels, kg.layers.Dense(10, activation="softmax", name="digit")(hidden))


def train(model, images, digits):
    """Stochastic gradient descent with momentum: one compiled call a step, then `assign`."""
    step = kg.compile(model, loss="sparse_categorical_crossentropy")
    random = np.random.default_rng(2)
    speeds = [np.zeros(weight.shape, np.float32) for weight in model.trainable_variables]
    for _ in range(EPOCHS):
        order = random.permutation(len(images))
        for start in range(0, len(order), BATCH):
            rows = order[start : start + BATCH]
            _, gradients = step.value_and_grad(images[rows], digits[rows])
            for weight, speed, gradient in zip(model.trainable_variables, speeds, gradients, strict=True):
                speed *= MOMENTUM
                speed -= RATE * gradient
                weight.assign_add(speed)


def accuracy(predict, images, digits):
    """The part of the images that are recognised."""
    return float(np.mean(np.argmax(predict(images), axis=-1) == digits))


def microseconds(predict, image, calls=2000):
    """What one call costs."""
    start = perf_counter()
    for _ in range(calls):
        predict(image)
    return (perf_counter() - start) / calls * 1e6


def main():
    """Train, then show what came of it; returns the accuracy on images never trained on."""
    seen, unseen = data()
    model = classifier()
    predict = kg.compile(model)  # compiled before training: it reads the weights of the moment
    before = accuracy(predict, *unseen)
    started = perf_counter()
    train(model, *seen)
    took = perf_counter() - started
    after = accuracy(predict, *unseen)
    print(
        f"accuracy on held-out digits: {before:.1%} before training, {after:.1%} after {EPOCHS} epochs in {took:.1f} s"
    )
    print(f"one image takes {microseconds(predict, unseen[0][:1]):.1f} microseconds")
    return after


if __name__ == "__main__":
    main()
