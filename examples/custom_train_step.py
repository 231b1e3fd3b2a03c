"""A training step of one's own: a classifier that also learns from samples moved towards its mistakes.

`train_step` is traced once and compiled as a whole: two tapes, two forward passes, the optimizer and the metrics become
one native call for each batch.
"""

import numpy as np

import kgraph as kg
from kgraph import layers, ops


class Sturdy(kg.Model):
    """Trains on each batch and on what the batch becomes a small step up the loss (Goodfellow et al. 2014)."""

    def __init__(self, step=0.15, **options):
        super().__init__(**options)
        self.step = step
        self.hidden = layers.Dense(32, activation="tanh")
        self.out = layers.Dense(1, activation="sigmoid")
        self.loss_mean = kg.metrics.Mean(name="loss")
        self.moved = kg.metrics.BinaryAccuracy(name="accuracy_when_moved")

    def call(self, x):
        return self.out(self.hidden(x))

    def train_step(self, data):
        x, y = data
        with kg.GradientTape() as tape:
            with kg.GradientTape() as to_input:
                to_input.watch(x)
                plain = ops.mean(kg.losses.binary_crossentropy(y, self(x, training=True)))
            worse = ops.stop_gradient(x + self.step * ops.sign(to_input.gradient(plain, x)))
            answer = self(worse, training=True)
            loss = 0.5 * (plain + ops.mean(kg.losses.binary_crossentropy(y, answer)))
        weights = self.trainable_variables
        self.optimizer.apply_gradients(zip(tape.gradient(loss, weights), weights, strict=True))
        self.loss_mean.update_state(loss)
        self.moved.update_state(y, answer)
        return {metric.name: metric.result() for metric in self.metrics}

    @property
    def metrics(self):
        return [self.loss_mean, self.moved]


def main(epochs=20):
    """Two rings, one inside the other; returns how often moved samples are told apart in the last epoch."""
    kg.utils.set_random_seed(5)
    random = np.random.default_rng(0)
    angle, inner = random.uniform(0, 2 * np.pi, 800), random.integers(0, 2, 800)
    radius = np.where(inner, 0.8, 1.6) + random.normal(0, 0.1, 800)
    x = np.stack([radius * np.cos(angle), radius * np.sin(angle)], axis=1)
    model = Sturdy()
    model.compile(optimizer=kg.optimizers.Adam(0.01))
    history = model.fit(x, inner[:, None], epochs=epochs, verbose=0).history
    first, last = history["accuracy_when_moved"][0], history["accuracy_when_moved"][-1]
    print(f"moved samples told apart: {first:.1%} in the first epoch, {last:.1%} in the last")
    return last


if __name__ == "__main__":
    main()
