"""A siamese model: one tower looks at two images, and its two calls are two nodes of the graph."""

import numpy as np

import kgraph as kg


def siamese():
    """Are these two the same? The tower's weights exist once."""
    pixels = kg.Input((64,), name="pixels")
    features = kg.layers.Dense(16, name="features")(kg.layers.Dense(32, activation="relu", name="edges")(pixels))
    tower = kg.Model(pixels, features, name="tower")

    left, right = kg.Input((64,), name="left"), kg.Input((64,), name="right")
    distance = kg.ops.square(tower(left) - tower(right))
    same = kg.layers.Dense(1, activation="sigmoid", name="same")(distance)
    return kg.Model([left, right], same), tower


def main():
    """Print the layer graph and the tower's calls; returns what the tests look at."""
    model, tower = siamese()
    print("the graph of layer calls, where tower#1 is the tower's second call:\n")
    print(model.graph)
    print("\nthe tower was called on")
    for index in range(2):
        given, made = tower.get_input_at(index), tower.get_output_at(index)
        print(f"  node {index}: {given.name} {given.shape} -> {made.name} {made.shape}")
    print(f"and has {tower.count_params()} weights in {len(tower.weights)} variables")

    f = kg.compile(model)
    image, other = np.random.default_rng(0).random((2, 1, 64), dtype=np.float32)
    print(f"\nsame(image, image) = {f(image, image)[0, 0]:.2f}, same(image, other) = {f(image, other)[0, 0]:.2f}")
    return model, tower, f


if __name__ == "__main__":
    main()
