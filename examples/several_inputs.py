"""Two inputs and two outputs: a text with a few numbers about it, and a second answer that helps the text's part learn.

What belongs to which input and output goes by name; the losses of both outputs are added, each with a weight.
"""

import numpy as np

import kgraph as kg
from kgraph import layers

WORDS, LENGTH = 200, 12


def model_of_two():
    """Words and numbers in; whether the text is liked, from both, and from the words alone."""
    words = kg.Input((LENGTH,), dtype="int32", name="words")
    numbers = kg.Input((3,), name="numbers")
    x = layers.Embedding(WORDS, 16, mask_zero=True)(words)
    x = layers.LSTM(16)(x)
    from_words = layers.Dense(1, activation="sigmoid", name="from_words")(x)
    x = layers.Concatenate()([x, numbers])
    x = layers.Dense(16, activation="relu")(x)
    return kg.Model([words, numbers], [layers.Dense(1, activation="sigmoid", name="liked")(x), from_words])


def data(samples=600):
    """Texts of some length, padded with 0: liked if they have more words below 100 than above, or a large number."""
    random = np.random.default_rng(0)
    words = random.integers(1, WORDS, (samples, LENGTH))
    words[np.arange(LENGTH) >= random.integers(4, LENGTH + 1, (samples, 1))] = 0
    numbers = random.normal(size=(samples, 3))
    good = np.where(words > 0, np.sign(100 - words), 0).sum(1, keepdims=True) > 0
    liked = (good | (numbers[:, :1] > 1)).astype("float32")
    return {"words": words, "numbers": numbers}, {"liked": liked, "from_words": good.astype("float32")}


def main(epochs=12):
    """Train, and tell how often each output is right; returns these."""
    kg.utils.set_random_seed(3)
    model = model_of_two()
    model.compile(
        kg.optimizers.Adam(0.01),
        loss={"liked": "binary_crossentropy", "from_words": "binary_crossentropy"},
        loss_weights={"liked": 1.0, "from_words": 0.3},
        metrics={"liked": ["accuracy"], "from_words": ["accuracy"]},
    )
    inputs, targets = data()
    model.fit(inputs, targets, batch_size=32, epochs=epochs, verbose=0)
    found = model.evaluate(inputs, targets, verbose=0, return_dict=True)
    print(f"right: {found['liked_accuracy']:.1%} with the numbers, {found['from_words_accuracy']:.1%} by words alone")
    return found["liked_accuracy"], found["from_words_accuracy"]


if __name__ == "__main__":
    main()
