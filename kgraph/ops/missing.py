"""Names of keras.ops that kgraph.ops does not have, and why, or what to use instead."""

from __future__ import annotations

_COMPLEX = "there are no complex numbers here"
_SPECTRUM = f"{_COMPLEX}; compute what you need ahead of the model, with numpy.fft"
_FACTORS = "it is not built: its gradient is undefined where singular or eigenvalues meet; use numpy.linalg"

WHY: dict[str, str] = {
    **dict.fromkeys(("fft", "fft2", "ifft2", "rfft", "irfft", "stft", "istft"), _SPECTRUM),
    **dict.fromkeys(("view_as_complex", "view_as_real", "polar"), _COMPLEX),
    **dict.fromkeys(("eig", "eigh", "svd", "matrix_rank", "pinv"), f"{_FACTORS} on arrays"),
    "lu_factor": "it is not built; solve, inv, det and slogdet do their own elimination",
    "jvp": "it is not built; gradients are kgraph.grad, kgraph.value_and_grad and kgraph.GradientTape",
    "vectorize": "it is not built; use vectorized_map, or write the function with ops, which broadcast",
    "i0": "it is not built; windows are bartlett, blackman, hamming, hanning and kaiser",
    "nextafter": "it is not built; use numpy.nextafter on arrays",
    "numpy": "its functions are here, in kgraph.ops",
}
