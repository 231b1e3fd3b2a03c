"""What the compiler did to a model: its graph after every stage, the kernels it wrote, and their machine code."""

import kgraph as kg


def model():
    """Two layers are enough to see bias, activation and softmax join the products before them."""
    x = kg.Input((16,), name="x")
    hidden = kg.layers.Dense(32, activation="relu", name="hidden")(x)
    return kg.Model(x, kg.layers.Dense(4, activation="softmax", name="answer")(hidden))


def main():
    """Print everything, from the calls of layers to assembly; returns the Executable."""
    f = kg.compile(model())
    before = ""
    for name, graph in f.stages.items():
        text = str(graph)
        print(f"--- after {name}: the same\n" if text == before else f"--- after {name}: {len(graph)} nodes\n{text}\n")
        before = text
    print(f"--- the kernels\n{f.source}\n")
    lines = f.asm().splitlines()
    print(f"--- the first of {len(lines)} lines of assembly")
    print("\n".join(lines[:20]))
    return f


if __name__ == "__main__":
    main()
