"""A control loop inside numba: a plant is simulated, and a policy network asked at every step, without Python.

`policy = f.jit` is a function that `@njit` code calls with arrays; calling `f(x)` from Python costs more, and so does
the Python around it.
"""

from time import perf_counter

import numpy as np
from numba import njit

import kgraph as kg

STEPS, DT = 20_000, np.float32(0.01)


def network():
    """A policy: angle and speed of a pendulum (as sine, cosine and speed), two hidden layers of 64, one torque."""
    kg.utils.set_random_seed(3)
    state = kg.Input((3,), name="state")
    hidden = kg.layers.Dense(64, activation="tanh", name="first")(state)
    hidden = kg.layers.Dense(64, activation="tanh", name="second")(hidden)
    return kg.Model(state, kg.layers.Dense(1, activation="tanh", name="torque")(hidden))


@njit
def moved(angle, speed, torque):
    """The pendulum one time step later: gravity, friction and a motor."""
    speed += DT * (np.float32(9.81) * np.sin(angle) - np.float32(0.2) * speed + np.float32(6) * torque)
    return angle + DT * speed, speed


@njit
def observe(angle, speed, state):
    """Write what the policy sees."""
    state[0, 0], state[0, 1], state[0, 2] = np.sin(angle), np.cos(angle), speed


def simulation(policy):
    """The whole loop as one compiled function of the first angle and the number of steps; it returns the last angle."""

    @njit(nogil=True)
    def simulate(angle, steps):
        speed = np.float32(0)
        state = np.empty((1, 3), np.float32)
        for _ in range(steps):
            observe(angle, speed, state)
            action = policy(state)
            angle, speed = moved(angle, speed, action[0, 0])
        return angle

    return simulate


def in_python(f, angle, steps):
    """The same loop in Python."""
    speed, state = np.float32(0), np.empty((1, 3), np.float32)
    for _ in range(steps):
        observe(angle, speed, state)
        angle, speed = moved(angle, speed, f(state)[0, 0])
    return angle


def nanoseconds(call, steps):
    """What one step of a loop costs: the best of five runs."""
    runs = []
    for _ in range(5):
        start = perf_counter()
        call()
        runs.append((perf_counter() - start) / steps * 1e9)
    return min(runs)


def main(steps=STEPS):
    """Compare the loops, then print what their steps cost; returns both last angles and the two costs of a call."""
    f = kg.compile(network())
    policy, first = f.jit, np.float32(0.3)
    simulate = simulation(policy)
    angles = simulate(first, 200), in_python(f, first, 200)
    print(f"after 200 steps the angle is {angles[0]:.5f} in numba and {angles[1]:.5f} in Python")

    state = np.zeros((1, 3), np.float32)

    def from_python():
        for _ in range(steps):
            f(state)

    step, call = nanoseconds(lambda: simulate(first, steps), steps), nanoseconds(from_python, steps)
    print(f"one step in numba, plant and policy together: {step:.0f} ns")
    print(f"one call f(x) from Python alone: {call:.0f} ns")
    print(f"one step in Python: {nanoseconds(lambda: in_python(f, first, steps), steps):.0f} ns")
    return angles, step, call


if __name__ == "__main__":
    main()
