"""Where older Keras programs look for what is in `kgraph.utils`."""

from typing import Any

from kgraph.missing import missing
from kgraph.preprocessing import sequence
from kgraph.utils.windows import timeseries_dataset_from_array

__all__ = ["sequence", "timeseries_dataset_from_array"]


def __getattr__(name: str) -> Any:
    raise missing("preprocessing", name)
