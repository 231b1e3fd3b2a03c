"""The convolution kernel of a short-time Fourier transform."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from kgraph.errors import ArgumentError, ShapeError
from kgraph.graph.types import numpy_dtype, standard_dtype
from kgraph.initializers.base import Initializer, concrete

# Windows that are sums of cosines, by their coefficients. Source: scipy.signal.windows.
WINDOWS = {
    "boxcar": (1.0,),
    "hann": (0.5, 0.5),
    "hamming": (0.54, 0.46),
    "blackman": (0.42, 0.50, 0.08),
    "nuttall": (0.3635819, 0.4891775, 0.1365995, 0.0106411),
    "blackmanharris": (0.35875, 0.48829, 0.14128, 0.01168),
    "flattop": (0.21557895, 0.41663158, 0.277263158, 0.083578947, 0.006947368),
}


class STFT(Initializer):
    """One side of a Fourier transform as a kernel of shape (frame length, 1, fft length // 2 + 1).

    side is "real" or "imag"; window a name of WINDOWS, its values, or None; scaling "density" (by the window's L2
    norm), "spectrum" (its L1 norm) or None; periodic windows are one sample short of symmetric ones.
    """

    def __init__(
        self, side: str = "real", window: Any = "hann", scaling: str | None = "density", periodic: bool = False
    ) -> None:
        if side not in ("real", "imag"):
            raise ArgumentError(f"side is 'real' or 'imag', not {side!r}")
        if scaling not in ("density", "spectrum", None):
            raise ArgumentError(f"scaling is 'density', 'spectrum' or None, not {scaling!r}")
        if isinstance(window, str) and window not in WINDOWS:
            raise ArgumentError(f"window is one of {', '.join(WINDOWS)}, an array of values, or None, not {window!r}")
        self.side = side
        self.window = window
        self.scaling = scaling
        self.periodic = periodic

    def __call__(self, shape: Sequence[int], dtype: Any = None) -> np.ndarray:
        """cos or sin of -2 pi t f, times the window. Source: keras.initializers.STFT."""
        sizes = concrete(shape)
        if len(sizes) != 3 or sizes[1] != 1 or sizes[2] < 2:
            raise ShapeError(f"an STFT kernel has shape (frame length, 1, 2 or more frequencies), not {sizes}")
        frequency = np.arange(sizes[2]) / (2 * (sizes[2] - 1))
        angle = -2.0 * np.pi * np.arange(sizes[0])[:, None, None] * frequency
        kernel = np.cos(angle) if self.side == "real" else np.sin(angle)
        if self.window is not None:
            kernel *= self._scaled_window(sizes[0])[:, None, None]
        return kernel.astype(numpy_dtype(standard_dtype(dtype)))

    def _scaled_window(self, length: int) -> np.ndarray:
        if isinstance(self.window, str):
            values = cosine_window(WINDOWS[self.window], length, self.periodic)
        else:
            values = np.asarray(self.window, float)
        if values.shape != (length,):
            raise ShapeError(f"the window has shape {values.shape}, the frame length is {length}")
        if self.scaling is None:
            return values
        return values / (np.sqrt(np.sum(values**2)) if self.scaling == "density" else np.sum(np.abs(values)))


def cosine_window(coefficients: Sequence[float], length: int, periodic: bool) -> np.ndarray:
    """The sum of coefficients[k] cos(k t), t from -pi to pi. Source: scipy.signal.windows.general_cosine."""
    if length <= 1:
        return np.ones(length)
    t = np.linspace(-np.pi, np.pi, length + periodic)[:length]
    return sum((factor * np.cos(k * t) for k, factor in enumerate(coefficients)), np.zeros(length))
