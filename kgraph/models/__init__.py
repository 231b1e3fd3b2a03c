"""Models: functional, sequential, and written as subclasses."""

from kgraph.models.functional import Functional
from kgraph.models.model import Model
from kgraph.models.sequential import Sequential
from kgraph.models.traced import Traced

__all__ = ["Functional", "Model", "Sequential", "Traced"]
