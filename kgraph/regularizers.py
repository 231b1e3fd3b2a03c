"""Penalties on weights and activations, added to the loss."""

from __future__ import annotations

from typing import Any

from kgraph import ops
from kgraph.errors import ArgumentError
from kgraph.layers.describe import plain
