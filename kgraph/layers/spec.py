"""What a layer wants its inputs to be."""

from __future__ import annotations

from typing import Any

from kgraph import tree
from kgraph.errors import ArgumentError, DTypeError, ShapeError
from kgraph.graph.types import standard_dtype


class InputSpec:
    """Dtype, rank, shape, or sizes of single axes that an input must have; what is left out may be anything.

    shape has None where the size does not matter; axes maps an axis to its size, `{-1: 784}`. With
    `allow_last_axis_squeeze` a last axis of size 1 may be missing or there: an input with an axis more ends in size 1.
    An `optional` input may be None. `name` is the key of the input where inputs are given as a dict. Violations raise
    ShapeError or DTypeError.
    """

    def __init__(
        self,
        dtype: Any = None,
        shape: Any = None,
        ndim: int | None = None,
        max_ndim: int | None = None,
        min_ndim: int | None = None,
        axes: dict[int, int | None] | None = None,
        allow_last_axis_squeeze: bool = False,
        name: str | None = None,
        optional: bool = False,
    ) -> None:
        self.dtype = standard_dtype(dtype) if dtype is not None else None
        self.shape = tuple(shape) if shape is not None else None
        self.ndim = len(self.shape) if self.shape is not None else ndim
        self.max_ndim, self.min_ndim = max_ndim, min_ndim
        self.axes = {int(axis): size for axis, size in (axes or {}).items()}
        self.name, self.optional = name, optional
        self.allow_last_axis_squeeze = allow_last_axis_squeeze
        rank = self.ndim if self.ndim is not None else self.max_ndim
        if self.axes and rank is not None and max(self.axes) >= rank:
            raise ArgumentError(f"axis {max(self.axes)} is beyond the {rank} axes of the input")

    def get_config(self) -> dict[str, Any]:
        """What `from_config` makes the spec again from."""
        names = ("dtype", "shape", "ndim", "max_ndim", "min_ndim", "axes", "optional")
        return {name: getattr(self, name) for name in names}

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> InputSpec:
        """The spec of `get_config`'s description."""
        return cls(**config)

    def __repr__(self) -> str:
        names = ("dtype", "shape", "ndim", "max_ndim", "min_ndim", "axes")
        return f"InputSpec({', '.join(f'{name}={getattr(self, name)}' for name in names if getattr(self, name))})"

    def check(self, shape: tuple[int | None, ...], dtype: str, what: str) -> None:
        """Raise unless a tensor of this shape and dtype is what is wanted."""
        rank = len(shape)
        if self.ndim is not None and rank != self.ndim and not self._is_squeezed(shape):
            raise ShapeError(f"{what}: expected ndim={self.ndim}, found ndim={rank}, shape {shape}")
        if self.max_ndim is not None and rank > self.max_ndim:
            raise ShapeError(f"{what}: expected max_ndim={self.max_ndim}, found ndim={rank}, shape {shape}")
        if self.min_ndim is not None and rank < self.min_ndim:
            raise ShapeError(f"{what}: expected min_ndim={self.min_ndim}, found ndim={rank}, shape {shape}")
        if self.dtype is not None and dtype != self.dtype:
            raise DTypeError(f"{what}: expected dtype={self.dtype}, found dtype={dtype}")
        for axis, size in self.axes.items():
            if size is not None and (not -rank <= axis < rank or shape[axis] not in (size, None)):
                raise ShapeError(f"{what}: expected axis {axis} of size {size}, found shape {shape}")
        if self.shape is not None:
            self._check_shape(shape, what)

    def _is_squeezed(self, shape: tuple[int | None, ...]) -> bool:
        """Whether the rank is right but for a last axis of size 1, which is there or missing."""
        assert self.ndim is not None
        ends_in_one = bool(shape) and shape[-1] in (1, None)
        missing = self.shape is None or self.shape[-1:] == (1,)
        one_off = (len(shape) == self.ndim + 1 and ends_in_one) or (len(shape) == self.ndim - 1 and missing)
        return self.allow_last_axis_squeeze and one_off

    def _check_shape(self, shape: tuple[int | None, ...], what: str) -> None:
        assert self.shape is not None
        if any(a is not None and b is not None and a != b for a, b in zip(self.shape, shape, strict=False)):
            raise ShapeError(f"{what}: expected shape={self.shape}, found shape={shape}")


def check_inputs(specs: Any, inputs: Any, layer_name: str) -> None:
    """Raise ShapeError or DTypeError, naming the layer, where an input is not what its spec wants."""
    flat_specs = tree.flatten(specs)
    names = [spec.name for spec in flat_specs if spec is not None]
    if isinstance(inputs, dict) and names and all(names):
        missing = [name for name in names if name not in inputs]
        if missing:
            raise ShapeError(
                f"layer {layer_name!r} wants inputs {names} and got {list(inputs)}: {missing[0]!r} is missing"
            )
        inputs = [inputs[name] for name in names]
    flat = tree.flatten(inputs)
    if len(flat) != len(flat_specs):
        raise ShapeError(f"layer {layer_name!r} expects {len(flat_specs)} input(s) and received {len(flat)}")
    for position, (value, spec) in enumerate(zip(flat, flat_specs, strict=True)):
        if spec is None or (value is None and spec.optional):
            continue
        what = f"input {position} of layer {layer_name!r} does not fit"
        if not hasattr(value, "shape"):
            raise DTypeError(f"{what}: a tensor was expected, and {value!r:.60} is a {type(value).__name__}")
        spec.check(tuple(value.shape), str(standard_dtype(value.dtype)), what)
