"""What every model can do with files and configurations."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from kgraph import tree
from kgraph.errors import SavingError
from kgraph.graph.types import DTYPES, TensorType
from kgraph.layers import calls
from kgraph.layers.layer import Layer, is_shape, known_shape
from kgraph.models.configuration import is_functional_config, model_from_parts, takes_inputs_and_outputs
from kgraph.registry import CustomObjectScope
from kgraph.saving import files
from kgraph.tracing.trace import Symbol, symbol_input


class Storing(Layer):
    """A layer with files."""

    _input_types: Any

    def save(self, filepath: Any, overwrite: bool = True, zipped: bool | None = None, **options: Any) -> None:
        """Write the model, its weights and the state of its training to a .keras or .h5 file, which Keras 3 reads.

        The old file stays whole until the new one is. SavingError for what no file can hold, such as a lambda.
        """
        files.save_model(self, filepath, overwrite, zipped, **options)

    def save_weights(self, filepath: Any, overwrite: bool = True, max_shard_size: Any = None) -> None:
        """Write weights and the optimizer's state to a .weights.h5 file, Keras's format, or a .safetensors file."""
        files.save_weights(self, filepath, overwrite, max_shard_size)

    def load_weights(self, filepath: Any, skip_mismatch: bool = False, **options: Any) -> None:
        """Take the values of a .weights.h5, .safetensors or .keras file.

        SavingError, before anything is written, if they do not fit; with skip_mismatch a warning instead.
        """
        files.load_weights(self, filepath, skip_mismatch, **options)

    def to_json(self, **options: Any) -> str:
        """The configuration as text, for `models.model_from_json`; options are those of `json.dumps`."""
        return files.model_to_json(self, **options)

    @classmethod
    def from_config(cls, config: dict[str, Any], custom_objects: Mapping[str, Any] | None = None) -> Any:
        """The model that `get_config` described, with new weights. SavingError for one that the class cannot make."""
        if is_functional_config(config) and takes_inputs_and_outputs(cls):
            return model_from_parts(cls, config, custom_objects)
        with CustomObjectScope(custom_objects):
            try:
                return cls(**config)
            except TypeError as error:
                raise SavingError(
                    f"{cls.__name__} cannot be made of its configuration: {error}; let get_config return what the "
                    "constructor takes, or define from_config"
                ) from error

    def get_build_config(self) -> dict[str, Any] | None:
        """The shapes of the inputs, which the weights follow from; of integers the dtypes too."""
        types = self.__dict__.get("_input_types")
        if types is None:
            return super().get_build_config()
        kinds = tree.map_structure(lambda one: one.type if isinstance(one, Symbol) else one, types)
        config = {"input_shape": tree.map_structure(lambda kind: None if kind is None else [*kind.public_shape], kinds)}
        dtypes = tree.map_structure(lambda kind: None if kind is None else kind.dtype, kinds)
        plain = all(dtype in (None, self.compute_dtype) for dtype in tree.flatten(dtypes))
        return config if plain else {**config, "input_dtype": dtypes}

    def build_from_config(self, config: dict[str, Any]) -> None:
        """Make the weights for inputs of the shapes of `get_build_config`."""
        shapes, dtypes = config.get("input_shape"), config.get("input_dtype")
        if dtypes is None or not self.builds_in_call:
            super().build_from_config(config)
            return
        inputs = entries(shapes, dtypes)
        calls.output_types(self, (inputs,), {})
        self._input_types = tree.map_structure(lambda symbol: symbol.type, inputs)


def entries(shapes: Any, dtypes: Any) -> Any:
    """Symbols for a nest of shapes and one of dtypes."""
    if is_shape(shapes) and isinstance(dtypes, str) and dtypes in DTYPES:
        return symbol_input("x", TensorType(known_shape(shapes), dtypes))
    if isinstance(shapes, dict) and isinstance(dtypes, dict) and shapes.keys() == dtypes.keys():
        return {key: entries(shape, dtypes[key]) for key, shape in shapes.items()}
    if isinstance(shapes, (list, tuple)) and isinstance(dtypes, (list, tuple)) and len(shapes) == len(dtypes):
        return [entries(*pair) for pair in zip(shapes, dtypes, strict=True)]
    raise SavingError(f"{shapes!r:.60} and {dtypes!r:.60} are no shapes and dtypes of inputs")
