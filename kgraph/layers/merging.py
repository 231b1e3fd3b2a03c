"""Layers of several inputs, and the functions that call them: add([a, b])."""

from __future__ import annotations

from collections.abc import Callable
from functools import reduce
from typing import Any

from kgraph import ops
from kgraph.errors import ArgumentError, ShapeError
from kgraph.layers.layer import Layer, is_shape
from kgraph.tracing.trace import with_mask


class Merge(Layer):
    """Elementwise arithmetic on a list of tensors, which broadcast from the batch on."""

    least, most = 1, None  # how many inputs

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self.supports_masking = True

    def build(self, input_shape: Any) -> None:
        several = isinstance(input_shape, (list, tuple)) and not is_shape(input_shape)
        count = len(input_shape) if several else 0
        if not several or count < self.least or count > (self.most or count):
            number = f"at least {self.least}" if self.most is None else f"exactly {self.most}"
            raise ShapeError(
                f"layer {self.name!r} ({type(self).__name__}) wants a list of {number} inputs; it got {input_shape}"
            )

    def call(self, inputs: Any) -> Any:
        return self.merge(same_rank(list(inputs)))

    def merge(self, inputs: list[Any]) -> Any:
        """The result for inputs of one rank; for subclasses to define."""
        raise NotImplementedError

    def compute_mask(self, inputs: Any, mask: Any = None) -> Any:
        """True where some input's mask is; no mask unless all have one."""
        if mask is None or any(one is None for one in mask):
            return None
        return reduce(ops.logical_or, mask)


class Add(Merge):
    """The sum of its inputs."""

    def merge(self, inputs: list[Any]) -> Any:
        return reduce(ops.add, inputs)


class Subtract(Merge):
    """The first of two inputs without the second."""

    least = most = 2  # type: ignore[assignment]

    def merge(self, inputs: list[Any]) -> Any:
        return ops.subtract(*inputs)


class Multiply(Merge):
    """The product of its inputs; masked elements count as 1, and as 0 where all inputs are masked."""

    def merge(self, inputs: list[Any]) -> Any:
        masks = [None if x.mask is None else spread(x.mask, x) for x in inputs]
        kept = [x if mask is None else ops.where(mask, x, 1) for x, mask in zip(inputs, masks, strict=True)]
        product = reduce(ops.multiply, kept)
        return product if any(mask is None for mask in masks) else ops.where(reduce(ops.logical_or, masks), product, 0)


class Average(Merge):
    """The mean of its inputs."""

    def merge(self, inputs: list[Any]) -> Any:
        return ops.divide(reduce(ops.add, inputs), len(inputs))


class Maximum(Merge):
    """The larger of its inputs, element by element."""

    def merge(self, inputs: list[Any]) -> Any:
        return chosen(ops.maximum, inputs)


class Minimum(Merge):
    """The smaller of its inputs, element by element."""

    def merge(self, inputs: list[Any]) -> Any:
        return chosen(ops.minimum, inputs)


class Concatenate(Merge):
    """Its inputs one behind the other along `axis` (-1)."""

    def __init__(self, axis: int = -1, **options: Any) -> None:
        super().__init__(**options)
        self.axis = axis

    def call(self, inputs: Any) -> Any:
        return ops.concatenate(list(inputs), axis=self.axis)

    def compute_mask(self, inputs: Any, mask: Any = None) -> Any:
        if mask is None or all(one is None for one in mask):
            return None
        whole = [spread(one, x) for x, one in zip(inputs, mask, strict=True)]
        return ops.any(ops.concatenate(whole, axis=self.axis), axis=-1)


class Dot(Merge):
    """Products of two inputs summed along an axis of each; `axes` is one number or a pair, never 0.

    With normalize the vectors are brought to norm 1 before: cosines.
    """

    least = most = 2  # type: ignore[assignment]

    def __init__(self, axes: Any, normalize: bool = False, **options: Any) -> None:
        super().__init__(**options)
        whole = isinstance(axes, int) or (isinstance(axes, (list, tuple)) and len(axes) == 2)
        if not whole or any(not isinstance(axis, int) for axis in ([axes] if isinstance(axes, int) else axes)):
            raise ArgumentError(f"Dot wants axes as a whole number or a pair of them, not {axes!r}")
        self.axes = axes if isinstance(axes, int) else tuple(axes)
        self.normalize = normalize

    def call(self, inputs: Any) -> Any:
        a, b = inputs
        first, second = (self.axes, self.axes) if isinstance(self.axes, int) else self.axes
        first, second = first % a.ndim, second % b.ndim
        if 0 in (first, second):
            raise ArgumentError(f"layer {self.name!r}: Dot sums along an axis of each sample, and axis 0 is the batch")
        if a.shape[first] != b.shape[second] and None not in (a.shape[first], b.shape[second]):
            raise ShapeError(
                f"layer {self.name!r}: axis {first} of {tuple(a.shape)} and axis {second} of {tuple(b.shape)} differ"
            )
        if self.normalize:
            a, b = unit(a, first), unit(b, second)
        left = [chr(ord("b") + axis) for axis in range(a.ndim)]
        right = [chr(ord("n") + axis) for axis in range(b.ndim)]
        left[0] = right[0] = "a"
        left[first] = right[second] = "z"
        kept = [letter for letter in left + right[1:] if letter != "z"]
        result = ops.einsum(f"{''.join(left)},{''.join(right)}->{''.join(kept)}", a, b)
        return ops.expand_dims(result, 1) if result.ndim == 1 else result

    def compute_mask(self, inputs: Any, mask: Any = None) -> Any:
        return None


def chosen(function: Callable[..., Any], inputs: list[Any]) -> Any:
    """function over the inputs, where masked elements give way to those of the other input."""
    output, seen = inputs[0], None if inputs[0].mask is None else spread(inputs[0].mask, inputs[0])
    for x in inputs[1:]:
        mask = None if x.mask is None else spread(x.mask, x)
        x = x if mask is None else ops.where(mask, x, output)
        output = output if seen is None else ops.where(seen, output, x)
        seen = None if mask is None or seen is None else ops.logical_or(seen, mask)
        output = function(output, x)
    return output


def unit(x: Any, axis: int) -> Any:
    """Vectors along an axis, brought to norm 1."""
    return ops.multiply(x, ops.rsqrt(ops.maximum(ops.sum(ops.square(x), axis=axis, keepdims=True), 1e-12)))


def same_rank(inputs: list[Any]) -> list[Any]:
    """Tensors of lower rank get axes of size 1 behind the batch."""
    rank = max(x.ndim for x in inputs)
    grown = []
    for x in inputs:
        shape = x.type.shape
        more = rank - x.ndim
        grown.append(with_mask(ops.reshape(x, (shape[0], *[1] * more, *shape[1:])), x.mask) if more else x)
    return grown


def spread(mask: Any, x: Any) -> Any:
    """A mask of the same shape as its tensor."""
    if mask is None:
        return ops.broadcast_to(ops.cast(1, "bool"), x.type.shape)
    return ops.broadcast_to(ops.expand_dims(mask, -1), x.type.shape) if mask.ndim < x.ndim else mask


def merging(layer: Callable[..., Layer]) -> Callable[..., Any]:
    """The function that makes such a layer and calls it at once."""

    def merge(inputs: Any, **options: Any) -> Any:
        return layer(**options)(inputs)

    merge.__name__ = merge.__qualname__ = layer.__name__.lower()
    merge.__doc__ = f"{layer.__name__}(**options)(inputs). {layer.__doc__}"
    return merge


add, subtract, multiply = merging(Add), merging(Subtract), merging(Multiply)
average, maximum, minimum = merging(Average), merging(Maximum), merging(Minimum)


def concatenate(inputs: Any, axis: int = -1, **options: Any) -> Any:
    """Concatenate(axis)(inputs)."""
    return Concatenate(axis=axis, **options)(inputs)


def dot(inputs: Any, axes: Any = -1, **options: Any) -> Any:
    """Dot(axes)(inputs)."""
    return Dot(axes=axes, **options)(inputs)
