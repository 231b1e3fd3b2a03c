"""Small helpers that Keras programs use."""

from kgraph.callbacks.progress_bar import Progbar
from kgraph.registry import (
    CustomObjectScope,
    custom_object_scope,
    get_custom_objects,
    get_registered_name,
    get_registered_object,
    register_keras_serializable,
)
from kgraph.saving.objects import deserialize_keras_object, serialize_keras_object
from kgraph.utils.arrays import normalize, pad_sequences, to_categorical
from kgraph.utils.datasets import PyDataset, Sequence, split_dataset
from kgraph.utils.session import clear_session, set_random_seed

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
    "normalize",
    "pad_sequences",
    "register_keras_serializable",
    "serialize_keras_object",
    "set_random_seed",
    "split_dataset",
    "to_categorical",
]
