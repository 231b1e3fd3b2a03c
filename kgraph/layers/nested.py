"""Layers that hold other layers: how these are described in a configuration, made from one, and copied."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from typing import Any

from kgraph import registry
from kgraph.errors import ArgumentError
from kgraph.layers.layer import LAYERS, Layer
from kgraph.named import from_config, to_config


def serialize(layer: Any) -> Any:
    """A layer as plain data: class name and configuration."""
    return to_config(layer)


def deserialize(config: Any, custom_objects: Mapping[str, Any] | None = None) -> Any:
    """The layer that `serialize` described; custom_objects has the classes that are not kgraph's, by name."""
    if isinstance(config, Layer):
        return config
    number = config.get("shared_object_id")
    shared = registry.shared_object(number)
    if shared is not None:
        return shared
    with registry.CustomObjectScope(custom_objects):
        layer = from_config(config, LAYERS, "layer")
    registry.share(number, layer)
    return layer


def copy_of(layer: Layer, **changes: Any) -> Any:
    """A new layer with the configuration of another, and these entries of it changed."""
    config = {**layer.get_config(), **changes}
    classes = {type(part).__name__: type(part) for part in layer.flat_layers()}
    make: Any = type(layer).from_config
    takes_classes = "custom_objects" in inspect.signature(make).parameters
    return make(config, classes) if takes_classes else make(config)


class Wrapper(Layer):
    """A layer around another, `layer`, whose weights are its own."""

    def __init__(self, layer: Layer, **options: Any) -> None:
        super().__init__(**options)
        if not isinstance(layer, Layer):
            from_what = type(layer).__name__
            raise ArgumentError(f"{type(self).__name__} wraps a layer, not a {from_what}: {layer!r:.60}")
        self.layer = layer

    def build(self, input_shape: Any = None) -> None:
        if not self.layer.built:
            self.layer.build(input_shape)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "layer": serialize(self.layer)}

    @classmethod
    def from_config(cls, config: dict[str, Any], custom_objects: Mapping[str, Any] | None = None) -> Any:
        return cls(deserialize(config["layer"], custom_objects), **{k: v for k, v in config.items() if k != "layer"})
