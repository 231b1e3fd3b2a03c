"""Layers that bring images to one size."""

from __future__ import annotations

from typing import Any

from kgraph import config, ops
from kgraph.errors import ArgumentError, ShapeError
from kgraph.layers.layer import Layer
from kgraph.ops import image
from kgraph.ops.convolution import channels_first


class Resizing(Layer):
    """Images with this height and width, of (batch, rows, columns, channels) or of one image; see `ops.image.resize`.

    interpolation: nearest, bilinear, bicubic, lanczos3 or lanczos5. ArgumentError for an aspect ratio to keep, which is
    not built.
    """

    def __init__(
        self, height: int, width: int, interpolation: str = "bilinear", crop_to_aspect_ratio: bool = False,
        pad_to_aspect_ratio: bool = False, fill_mode: str = "constant", fill_value: float = 0.0,
        antialias: bool = False, data_format: str | None = None, **options: Any,
    ) -> None:  # fmt: skip
        super().__init__(**options)
        if crop_to_aspect_ratio or pad_to_aspect_ratio:
            raise ArgumentError("Resizing keeps no aspect ratio; use CenterCrop or ZeroPadding2D first")
        self.height, self.width, self.interpolation, self.antialias = height, width, interpolation, antialias
        self.crop_to_aspect_ratio, self.pad_to_aspect_ratio = crop_to_aspect_ratio, pad_to_aspect_ratio
        self.fill_mode, self.fill_value = fill_mode, fill_value
        self.data_format = config.image_data_format() if data_format is None else data_format

    def call(self, inputs: Any) -> Any:
        images, size = ops.cast(inputs, self.compute_dtype), (self.height, self.width)
        return image.resize(images, size, self.interpolation, self.antialias, data_format=self.data_format)


class CenterCrop(Layer):
    """The middle of images, with this height and width, of (batch, rows, columns, channels) or of one image.

    Smaller images are cropped to the aspect ratio and resized, as in Keras. Heights and widths must be known.
    """

    def __init__(self, height: int, width: int, data_format: str | None = None, **options: Any) -> None:
        super().__init__(**options)
        self.height, self.width = height, width
        self.data_format = config.image_data_format() if data_format is None else data_format

    def call(self, inputs: Any) -> Any:
        images = ops.cast(inputs, self.compute_dtype)
        rows = len(images.shape) - (2 if channels_first(self.data_format) else 3)
        height, width = images.shape[rows : rows + 2]
        if height is None or width is None:
            raise ShapeError(f"layer {self.name!r} needs the height and width of images of shape {images.shape}")
        if height >= self.height and width >= self.width:
            return _middle(images, rows, self.height, self.width)
        tall = max(min(height, int(float(width * self.height) / self.width)), 1)
        wide = max(min(width, int(float(height * self.width) / self.height)), 1)
        size = (self.height, self.width)
        return image.resize(_middle(images, rows, tall, wide), size, data_format=self.data_format)


def _middle(images: Any, rows: int, height: int, width: int) -> Any:
    key = [slice(None)] * len(images.shape)
    for axis, size in ((rows, height), (rows + 1, width)):
        start = (images.shape[axis] - size) // 2
        key[axis] = slice(start, start + size)
    return images[tuple(key)]
