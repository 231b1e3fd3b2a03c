"""A layer applied to every step, and a recurrent layer that reads in both directions."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from typing import Any

from kgraph import ops
from kgraph.errors import ArgumentError, ShapeError
from kgraph.layers.layer import Layer
from kgraph.layers.nested import Wrapper, copy_of, deserialize, serialize

MERGE_MODES = ("concat", "sum", "ave", "mul", None)


class TimeDistributed(Wrapper):
    """A layer applied to each step of (batch, steps, ...): batch and steps are one axis for it."""

    def __init__(self, layer: Layer, **options: Any) -> None:
        super().__init__(layer, **options)
        self.supports_masking = True

    def build(self, input_shape: Any = None) -> None:
        if len(input_shape) < 3:
            raise ShapeError(f"layer {self.name!r} wants (batch, steps, ...), at least 3 axes, not {input_shape}")
        super().build((input_shape[0], *input_shape[2:]))

    def call(self, inputs: Any, training: Any = None, mask: Any = None) -> Any:
        takes = inspect.signature(self.layer.call).parameters
        options = {} if "training" not in takes else {"training": training}
        batch, steps, *rest = ops.shape(inputs)
        if mask is not None and "mask" in takes:
            options["mask"] = ops.reshape(mask, (batch * steps, *ops.shape(mask)[2:]))
        made = self.layer(ops.reshape(inputs, (batch * steps, *rest)), **options)
        return ops.reshape(made, (batch, steps, *ops.shape(made)[1:]))


class Bidirectional(Layer):
    """A recurrent layer, and one like it (or backward_layer) that begins at the last step.

    merge_mode says how their outputs are joined: "concat" along the last axis, "sum", "ave", "mul"; None returns
    both. The weights of the forward layer come first. Both are new layers with the configuration of `layer`, as in
    Keras.
    """

    def __init__(
        self,
        layer: Layer,
        merge_mode: str | None = "concat",
        weights: Any = None,
        backward_layer: Layer | None = None,
        **options: Any,
    ) -> None:
        super().__init__(weights=weights, **options)
        if not isinstance(layer, Layer) or not hasattr(layer, "go_backwards"):
            raise ArgumentError(f"Bidirectional wraps a recurrent layer, not {layer!r:.60}")
        if merge_mode not in MERGE_MODES:
            raise ArgumentError(f"merge_mode is one of {MERGE_MODES}, not {merge_mode!r}")
        self.forward_layer: Any = copy_of(layer, name=f"forward_{layer.name.removeprefix('forward_')}")
        backwards = {"go_backwards": True, "name": f"backward_{layer.name.removeprefix('backward_')}"}
        self.backward_layer: Any = copy_of(layer, **backwards) if backward_layer is None else backward_layer
        self._check()
        both: tuple[Any, Any] = (self.forward_layer, self.backward_layer)
        for one in both:
            if hasattr(one, "zero_output_for_mask"):
                one.zero_output_for_mask = one.return_sequences
        self.merge_mode = merge_mode
        self.stateful = self.forward_layer.stateful
        self.return_sequences = self.forward_layer.return_sequences
        self.return_state = self.forward_layer.return_state
        self.supports_masking = True

    def _check(self) -> None:
        one, other = self.forward_layer, self.backward_layer
        if one.go_backwards == other.go_backwards:
            raise ArgumentError(
                "one layer of a Bidirectional goes forward and the other backwards; these go the same way"
            )
        for what in ("stateful", "return_sequences", "return_state"):
            if getattr(one, what) != getattr(other, what):
                raise ArgumentError(f"the layers of a Bidirectional differ in {what!r}")

    def build(self, sequences_shape: Any, initial_state_shape: Any = None) -> None:
        for layer in (self.forward_layer, self.backward_layer):
            if not layer.built:
                layer.build(sequences_shape)

    def call(self, sequences: Any, initial_state: Any = None, mask: Any = None, training: Any = None) -> Any:
        halves: Any = (None, None)
        if initial_state is not None:
            middle = len(initial_state) // 2
            halves = (list(initial_state[:middle]), list(initial_state[middle:]))
        layers = (self.forward_layer, self.backward_layer)
        made = [
            layer(sequences, mask=mask, training=training, **({} if state is None else {"initial_state": state}))
            for layer, state in zip(layers, halves, strict=True)
        ]
        states: tuple[Any, ...] = ()
        if self.return_state:
            states = (*made[0][1:], *made[1][1:])
            made = [made[0][0], made[1][0]]
        y, back = made
        if self.return_sequences:
            back = ops.flip(back, 1)
        output = self._merged(y, back)
        if not self.return_state:
            return output
        return (*output, *states) if self.merge_mode is None else (output, *states)

    def _merged(self, y: Any, back: Any) -> Any:
        if self.merge_mode is None:
            return y, back
        if self.merge_mode == "concat":
            return ops.concatenate([y, back], axis=-1)
        if self.merge_mode == "mul":
            return y * back
        return y + back if self.merge_mode == "sum" else (y + back) / 2

    @property
    def states(self) -> Any:
        """The kept states of both layers."""
        both = (self.forward_layer.states, self.backward_layer.states)
        return (*both[0], *both[1]) if all(both) else None

    def reset_state(self) -> None:
        """Begin with zeros again, in both layers."""
        self.forward_layer.reset_state()
        self.backward_layer.reset_state()

    reset_states = reset_state

    def compute_mask(self, inputs: Any, previous_mask: Any) -> Any:
        mask = previous_mask[0] if isinstance(previous_mask, (list, tuple)) else previous_mask
        mask = mask if self.return_sequences else None
        masks = [mask] if self.merge_mode else [mask, mask]
        if self.return_state:
            masks += [None] * 2 * len(self.forward_layer.state_size)
        return masks[0] if len(masks) == 1 else masks

    def get_config(self) -> dict[str, Any]:
        config = {key: value for key, value in super().get_config().items() if key not in ("layer", "weights")}
        both = {"layer": serialize(self.forward_layer), "backward_layer": serialize(self.backward_layer)}
        return {**config, **both}

    @classmethod
    def from_config(cls, config: dict[str, Any], custom_objects: Mapping[str, Any] | None = None) -> Any:
        made = {name: deserialize(config[name], custom_objects) for name in ("layer", "backward_layer")}
        return cls(**{**config, **made})
