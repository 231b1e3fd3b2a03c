"""Layers that cut off or put on borders, along the axes between batch and channels."""

from __future__ import annotations

from typing import Any

from kgraph import ops
from kgraph.errors import ArgumentError, ShapeError
from kgraph.layers.layer import Layer
from kgraph.layers.reshaping import checked_format, checked_sizes
from kgraph.layers.spec import InputSpec

Pairs = tuple[tuple[int, int], ...]


class Border(Layer):
    """What cropping and padding share: how much before and after, for each of the `axes` between batch and channels."""

    axes = 0

    def __init__(self, data_format: str | None, **options: Any) -> None:
        super().__init__(**options)
        self.data_format = checked_format(data_format)
        self.input_spec = InputSpec(ndim=self.axes + 2)

    def everywhere(self, pairs: Pairs) -> Pairs:
        """The pairs of all axes: nothing for batch and channels."""
        none = (0, 0)
        return (none, none, *pairs) if self.data_format == "channels_first" else (none, *pairs, none)


class Cropping(Border):
    """Cuts elements off before and after."""

    def __init__(self, cropping: Any, data_format: str | None, **options: Any) -> None:
        super().__init__(data_format, **options)
        self.cropping: Any = checked_pairs(cropping, self.axes, "cropping")

    def cut(self, inputs: Any, pairs: Pairs) -> Any:
        """The inputs without the borders; ShapeError where nothing would be left."""
        for axis, (pair, size) in enumerate(zip(self.everywhere(pairs), inputs.shape, strict=True)):
            if size is not None and size and sum(pair) >= size:
                raise ShapeError(
                    f"layer {self.name!r}: cropping {pair} leaves nothing of axis {axis} of {tuple(inputs.shape)}"
                )
        return inputs[tuple(slice(before, -after or None) for before, after in self.everywhere(pairs))]

    def call(self, inputs: Any) -> Any:
        return self.cut(inputs, self.cropping)


class Cropping1D(Cropping):
    """(batch, steps, features) without its first and last steps."""

    axes = 1

    def __init__(self, cropping: Any = (1, 1), **options: Any) -> None:
        super().__init__((0,), "channels_last", **options)
        self.cropping = checked_sizes(cropping, 2, "cropping", least=0)

    def call(self, inputs: Any) -> Any:
        return self.cut(inputs, (self.cropping,))

    def get_config(self) -> dict[str, Any]:
        return without_format(super().get_config())


class Cropping2D(Cropping):
    """Images without their borders.

    cropping: one number, one for rows and one for columns, or ((top, bottom), (left, right)).
    """

    axes = 2

    def __init__(self, cropping: Any = ((0, 0), (0, 0)), data_format: str | None = None, **options: Any) -> None:
        super().__init__(cropping, data_format, **options)


class Cropping3D(Cropping):
    """Volumes without their borders; cropping: one number, three, or three pairs."""

    axes = 3

    def __init__(
        self, cropping: Any = ((1, 1), (1, 1), (1, 1)), data_format: str | None = None, **options: Any
    ) -> None:
        super().__init__(cropping, data_format, **options)


class ZeroPadding(Border):
    """Puts zeros before and after."""

    def __init__(self, padding: Any, data_format: str | None, **options: Any) -> None:
        super().__init__(data_format, **options)
        self.padding: Any = checked_pairs(padding, self.axes, "padding")

    def call(self, inputs: Any) -> Any:
        return ops.pad(inputs, self.everywhere(self.padding))


class ZeroPadding1D(ZeroPadding):
    """(batch, steps, features) with zeros before and after the steps; padding: one number or a pair."""

    axes = 1

    def __init__(self, padding: Any = 1, data_format: str | None = None, **options: Any) -> None:
        super().__init__((0,), data_format, **options)
        self.padding = checked_sizes(padding, 2, "padding", least=0)

    def call(self, inputs: Any) -> Any:
        return ops.pad(inputs, self.everywhere((self.padding,)))


class ZeroPadding2D(ZeroPadding):
    """Images with zeros around them.

    padding: one number, one for rows and one for columns, or ((top, bottom), (left, right)).
    """

    axes = 2

    def __init__(self, padding: Any = (1, 1), data_format: str | None = None, **options: Any) -> None:
        super().__init__(padding, data_format, **options)


class ZeroPadding3D(ZeroPadding):
    """Volumes with zeros around them; padding: one number, three, or three pairs."""

    axes = 3

    def __init__(self, padding: Any = ((1, 1), (1, 1), (1, 1)), data_format: str | None = None, **options: Any) -> None:
        super().__init__(padding, data_format, **options)


def without_format(config: dict[str, Any]) -> dict[str, Any]:
    """The configuration of a layer that takes no data_format."""
    return {key: value for key, value in config.items() if key != "data_format"}


def checked_pairs(value: Any, count: int, name: str) -> Pairs:
    """How much before and after, for each of `count` axes, from one number, one for each axis, or one pair for each."""
    each = (value,) * count if isinstance(value, int) else tuple(value) if isinstance(value, (list, tuple)) else ()
    if len(each) != count:
        raise ArgumentError(f"{name} is a whole number, {count} of them, or {count} pairs of them, not {value!r}")
    return tuple(checked_sizes(one, 2, name, least=0) for one in each)  # type: ignore[misc]
