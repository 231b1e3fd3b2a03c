"""Rows of kind map for the normal distribution: erf and its inverse."""

from __future__ import annotations

import math

import numpy as np

from kgraph.graph.op import CURVE, common_float
from kgraph.ops.arithmetic import multiply, square
from kgraph.ops.elementwise import elementwise
from kgraph.ops.transcendental import exp

# Wichura, "Algorithm AS 241: The percentage points of the normal distribution", Applied Statistics 37 (1988):
# numerator and denominator, from the highest power down.
CENTRE = (
    (
        2509.0809287301227,
        33430.57558358813,
        67265.7709270087,
        45921.95393154987,
        13731.69376550946,
        1971.5909503065513,
        133.14166789178438,
        3.3871328727963665,
    ),
    (
        5226.495278852854,
        28729.085735721943,
        39307.89580009271,
        21213.794301586597,
        5394.196021424751,
        687.1870074920579,
        42.31333070160091,
        1.0,
    ),
)
MIDDLE = (
    (
        0.0007745450142783414,
        0.022723844989269184,
        0.2417807251774506,
        1.2704582524523684,
        3.6478483247632045,
        5.769497221460691,
        4.630337846156546,
        1.4234371107496835,
    ),
    (
        1.0507500716444169e-09,
        0.0005475938084995345,
        0.015198666563616457,
        0.14810397642748008,
        0.6897673349851,
        1.6763848301838038,
        2.053191626637759,
        1.0,
    ),
)
TAIL = (
    (
        2.0103343992922881e-07,
        2.7115555687434876e-05,
        0.0012426609473880784,
        0.026532189526576124,
        0.29656057182850487,
        1.7848265399172913,
        5.463784911164114,
        6.657904643501103,
    ),
    (
        2.0442631033899397e-15,
        1.421511758316446e-07,
        1.8463183175100548e-05,
        0.0007868691311456133,
        0.014875361290850615,
        0.1369298809227358,
        0.599832206555888,
        1.0,
    ),
)
CENTRE_END, SHIFT = 0.425, 0.180625  # of x / 2, which is the distance of the probability from one half
MIDDLE_START, TAIL_START = 1.6, 5.0  # of the root of -log(probability)


def _ratio(table: tuple[tuple[float, ...], ...], r: np.ndarray) -> np.ndarray:
    return np.polyval(table[0], r) / np.polyval(table[1], r)


def _erfinv(x: np.ndarray) -> np.ndarray:
    values = np.asarray(x, np.float64)
    half = values * 0.5
    centre = half * _ratio(CENTRE, SHIFT - half * half)
    root = np.sqrt(-np.log(0.5 - np.abs(half)))
    far = np.where(root <= TAIL_START, _ratio(MIDDLE, root - MIDDLE_START), _ratio(TAIL, root - TAIL_START))
    far = np.where(np.isposinf(root), np.inf, far)
    return np.where(np.abs(half) <= CENTRE_END, centre, np.copysign(far, values)) * math.sqrt(0.5)


def _erf(x: np.ndarray) -> np.ndarray:
    values = np.asarray(x, np.float64)
    return np.fromiter(map(math.erf, values.flat), np.float64, values.size).reshape(values.shape)


erf = elementwise(
    "The error function: 2 / sqrt(pi) times the integral of exp(-t * t) from 0 to x.",
    name="erf",
    numpy=_erf,
    scalar="erf({0})",
    casts=common_float,
    vjp=lambda g, y, x: (multiply(g, multiply(exp(-square(x)), 2.0 / math.sqrt(math.pi))),),
    cost=CURVE,
)
erfinv = elementwise(
    "What erf undoes; infinite at -1 and 1, NaN beyond.",
    name="erfinv",
    numpy=_erfinv,
    scalar="erfinv({0})",
    casts=common_float,
    vjp=lambda g, y, x: (multiply(g, multiply(exp(square(y)), 0.5 * math.sqrt(math.pi))),),
    cost=CURVE,
)
