"""Small helpers that Keras programs use."""

from typing import Any

from kgraph.callbacks.progress_bar import Progbar
from kgraph.graph.types import standard_dtype as standardize_dtype
from kgraph.missing import missing
from kgraph.registry import (
    CustomObjectScope,
    custom_object_scope,
    get_custom_objects,
    get_registered_name,
    get_registered_object,
    register_keras_serializable,
)
from kgraph.saving.objects import deserialize_keras_object, serialize_keras_object
from kgraph.tracing.trace import Symbol
from kgraph.training.data import pack_x_y_sample_weight, unpack_x_y_sample_weight
from kgraph.utils.arrays import normalize, pad_sequences, to_categorical
from kgraph.utils.datasets import PyDataset, Sequence, split_dataset
from kgraph.utils.session import clear_session, set_random_seed
from kgraph.utils.windows import timeseries_dataset_from_array

__all__ = [
    "CustomObjectScope",
    "Progbar",
    "PyDataset",
    "Sequence",
    "clear_session",
    "custom_object_scope",
    "deserialize_keras_object",
    "get_custom_objects",
    "get_registered_name",
    "get_registered_object",
    "is_keras_tensor",
    "normalize",
    "pack_x_y_sample_weight",
    "pad_sequences",
    "register_keras_serializable",
    "serialize_keras_object",
    "set_random_seed",
    "split_dataset",
    "standardize_dtype",
    "timeseries_dataset_from_array",
    "to_categorical",
    "unpack_x_y_sample_weight",
]


def is_keras_tensor(x: Any) -> bool:
    """Whether it is a symbol, such as `Input` gives."""
    return isinstance(x, Symbol)


def __getattr__(name: str) -> Any:
    raise missing("utils", name)
