"""Weights held at spectral norm 1."""

from __future__ import annotations

from typing import Any

from kgraph import initializers, ops
from kgraph.errors import ArgumentError
from kgraph.layers.core import positive
from kgraph.layers.nested import Wrapper
from kgraph.layers.spec import InputSpec


class SpectralNormalization(Wrapper):
    """A layer whose kernel (or embeddings) each training call divides by an estimate of its largest singular value.

    The estimate is made by power iterations, which go on from `vector_u`, where the last call ended. Miyato et al.,
    2018.
    """

    def __init__(self, layer: Any, power_iterations: int = 1, **options: Any) -> None:
        super().__init__(layer, **options)
        self.power_iterations = positive(power_iterations, "power_iterations", "SpectralNormalization")

    def build(self, input_shape: Any = None) -> None:
        super().build(input_shape)
        self.input_spec = InputSpec(min_ndim=1, axes={-1: input_shape[-1]})
        self.kernel: Any = getattr(self.layer, "kernel", getattr(self.layer, "embeddings", None))
        if self.kernel is None:
            raise ArgumentError(f"a {type(self.layer).__name__} has no kernel and no embeddings to normalize")
        self.vector_u = self.add_weight(
            (1, self.kernel.shape[-1]),
            initializers.TruncatedNormal(stddev=0.02),
            self.kernel.dtype,
            trainable=False,
            name="vector_u",
        )

    def call(self, inputs: Any, training: bool = False) -> Any:
        if training:
            self._normalize()
        return ops.cast(self.layer(inputs), inputs.dtype)

    def _normalize(self) -> None:
        whole = self.kernel.as_symbol()
        kernel, u = ops.reshape(whole, (-1, whole.shape[-1])), self.vector_u.as_symbol()
        for _ in range(self.power_iterations):
            v = ops.normalize(ops.einsum("ao,io->ai", u, kernel), axis=None)
            u = ops.normalize(ops.einsum("ai,io->ao", v, kernel), axis=None)
        u, v = ops.stop_gradient(u), ops.stop_gradient(v)
        size = ops.einsum("ai,io,ao->", v, kernel, u)
        empty = ops.all(ops.equal(whole, 0))
        self.kernel.assign(ops.divide(whole, ops.where(empty, 1, size)))
        self.vector_u.assign(ops.where(empty, self.vector_u, u))
