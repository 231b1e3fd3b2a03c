"""Names of keras.ops that kgraph.ops does not have, and why, or what to use instead."""

from __future__ import annotations

from typing import Any

from kgraph.graph.op import FUNCTIONS

_COMPLEX = "there are no complex numbers here"
_SPECTRUM = f"{_COMPLEX}; compute what you need ahead of the model, with numpy.fft"
_FACTORS = "it is not built: its gradient is undefined where singular or eigenvalues meet; use numpy.linalg"
_IMAGES = "it is not built; transform images where the data is made, with scipy.ndimage or PIL"

WHY: dict[str, str] = {
    **dict.fromkeys(
        (
            "affine_transform", "elastic_transform", "gaussian_blur", "hsv_to_rgb", "map_coordinates",
            "perspective_transform", "rgb_to_hsv", "scale_and_translate", "sobel_edges", "ssim",
        ),
        _IMAGES,
    ),
    "extract_patches_3d": "it is not built; reshape, transpose and reshape again",
    **dict.fromkeys(("fft", "fft2", "ifft2", "rfft", "irfft", "stft", "istft"), _SPECTRUM),
    **dict.fromkeys(("view_as_complex", "view_as_real", "polar"), _COMPLEX),
    **dict.fromkeys(("eig", "eigh", "svd", "matrix_rank", "pinv"), f"{_FACTORS} on arrays"),
    "lu_factor": "it is not built; solve, inv, det and slogdet do their own elimination",
    "jvp": "it is not built; gradients are kgraph.grad, kgraph.value_and_grad and kgraph.GradientTape",
    "vectorize": "it is not built; use vectorized_map, or write the function with ops, which broadcast",
    "i0": "it is not built; windows are bartlett, blackman, hamming, hanning and kaiser",
    "nextafter": "it is not built; use numpy.nextafter on arrays",
    "numpy": "its functions are here, in kgraph.ops",
}  # fmt: skip


def looked_up(module: str, name: str) -> Any:
    """A public function that the module does not hold itself; AttributeError, with the reason, where there is none."""
    if name in FUNCTIONS:
        return FUNCTIONS[name]
    why = f": {WHY[name]}" if name in WHY else ""
    raise AttributeError(f"{module} has no {name!r}{why}")
