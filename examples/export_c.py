"""A network as a shared library and a C header: a program in C calls it, and needs no Python.

`f.export` writes both files. The header says which arrays the function takes, and what it returns.
"""

import shutil
import subprocess
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np

import kgraph as kg

PROGRAM = """
#include "policy.h"
#include <stdio.h>

int main(void)
{
    const float state[2][3] = {{0.0f, 1.0f, 0.5f}, {1.0f, 0.0f, -0.5f}};
    float torque[2];
    if (policy(&state[0][0], 2, torque) != POLICY_OK)
        return 1;
    printf("%.9g %.9g\\n", torque[0], torque[1]);
    return 0;
}
"""


def network():
    """A policy: angle and speed of a pendulum (as sine, cosine and speed), two hidden layers of 64, one torque."""
    kg.utils.set_random_seed(3)
    state = kg.Input((3,), name="state")
    hidden = kg.layers.Dense(64, activation="tanh", name="first")(state)
    hidden = kg.layers.Dense(64, activation="tanh", name="second")(hidden)
    return kg.Model(state, kg.layers.Dense(1, activation="tanh", name="torque")(hidden))


def main():
    """Export, compile the program where there is a C compiler, and compare; returns both results, or one."""
    f = kg.compile(network())
    state = np.array([[0, 1, 0.5], [1, 0, -0.5]], np.float32)
    results = [f(state)[:, 0]]
    with TemporaryDirectory() as place:
        library, header = f.export(Path(place) / "policy")
        print(header.read_text())
        compiler = shutil.which("cc")
        if compiler:
            (Path(place) / "program.c").write_text(PROGRAM)
            subprocess.run(
                [compiler, "program.c", library, "-Wl,-rpath,$ORIGIN", "-o", "program"], cwd=place, check=True
            )
            printed = subprocess.run([f"{place}/program"], check=True, capture_output=True, text=True).stdout
            results.append(np.array(printed.split(), np.float32))
            print(f"from C {results[1]}, from Python {results[0]}")
    return results


if __name__ == "__main__":
    main()
