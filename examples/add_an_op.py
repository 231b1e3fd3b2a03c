"""A new operation is one row: what it means in numpy, for one element in a kernel, and its gradient.

The row below is all there is to hard swish; casts, broadcasting, fusion and the loops of the kernel come with its kind.
"""

import numpy as np

import kgraph as kg
from kgraph.graph.op import Op, common_float
from kgraph.tracing.trace import primitive

ops = kg.ops


def slope(g, y, x):
    """The gradient: 0 below -3, 1 above 3, a line in between."""
    return (g * ops.where(x < -3.0, 0.0, ops.where(x > 3.0, 1.0, x / 3.0 + 0.5)),)


hard_swish = primitive(
    Op(
        name="hard_swish",
        kind="map",
        type=lambda x: x,
        numpy=lambda x: x * np.clip(x / 6 + 0.5, 0, 1).astype(x.dtype),
        scalar="{0} * minimum(maximum({0} * {T}(1 / 6) + {T}(0.5), {T}(0)), {T}(1))",
        vjp=slope,
        casts=common_float,
    )
)


def model():
    """The op in place of an activation."""
    x = kg.Input((8,), name="x")
    hidden = kg.layers.Dense(16, activation=hard_swish, name="hidden")(x)
    return kg.Model(x, kg.layers.Dense(1, name="y")(hidden))


def numerical_gradient(f, variable, loss, step=1e-2):
    """Central differences for one weight after the other."""
    value = variable.numpy()
    found = np.zeros_like(value)
    for place in np.ndindex(value.shape):
        sides = []
        for sign in (1, -1):
            moved = value.copy()
            moved[place] += sign * step
            variable.assign(moved)
            sides.append(loss(f))
        found[place] = (sides[0] - sides[1]) / (2 * step)
    variable.assign(value)
    return found


def main():
    """Compile, then compare values with numpy and gradients with finite differences; returns the largest errors."""
    random = np.random.default_rng(0)
    x, y = random.normal(size=(32, 8)).astype(np.float32), random.normal(size=(32, 1)).astype(np.float32)
    net = model()
    f, g = kg.compile(net), kg.compile(net, loss="mse")
    print(f"the kernels:\n{f.ir}\n")

    value_error = float(np.abs(f(x) - net(x)).max())  # net(x) is the meaning: numpy, op by op
    _, gradients = g.value_and_grad(x, y)
    bias = net.get_layer("hidden").bias
    gradient = next(one for weight, one in zip(net.trainable_variables, gradients, strict=True) if weight is bias)
    expected = numerical_gradient(f, bias, lambda f: float(np.mean((f(x) - y) ** 2)))
    gradient_error = float(np.abs(gradient - expected).max())
    print(f"largest error of a value {value_error:.1e}, of a gradient {gradient_error:.1e}")
    return value_error, gradient_error


if __name__ == "__main__":
    main()
