"""Models: functional, sequential, and written as subclasses."""

from kgraph.models.cloning import clone_model
from kgraph.models.function import Function
from kgraph.models.functional import Functional
from kgraph.models.model import Model
from kgraph.models.sequential import Sequential
from kgraph.models.traced import Traced
from kgraph.saving.files import load_model, model_from_json, save_model

__all__ = [
    "Function",
    "Functional",
    "Model",
    "Sequential",
    "Traced",
    "clone_model",
    "load_model",
    "model_from_json",
    "save_model",
]
