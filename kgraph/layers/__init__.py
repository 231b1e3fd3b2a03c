"""The layers of Keras 3, as weights and a call written with kgraph.ops."""

from kgraph.layers.cells import GRUCell, LSTMCell, SimpleRNNCell, StackedRNNCells
from kgraph.layers.core import Activation, Dense, EinsumDense, Embedding, Identity, Lambda, Masking
from kgraph.layers.input import Input, InputLayer
from kgraph.layers.layer import Layer
from kgraph.layers.merging import (
    Add,
    Average,
    Concatenate,
    Dot,
    Maximum,
    Minimum,
    Multiply,
    Subtract,
    add,
    average,
    concatenate,
    dot,
    maximum,
    minimum,
    multiply,
    subtract,
)
from kgraph.layers.nested import Wrapper, deserialize, serialize
from kgraph.layers.normalization import BatchNormalization, LayerNormalization
from kgraph.layers.recurrent import GRU, LSTM, RNN, SimpleRNN
from kgraph.layers.regularization import Dropout
from kgraph.layers.reshaping import Flatten, Permute, RepeatVector, Reshape
from kgraph.layers.spec import InputSpec
from kgraph.layers.wrappers import Bidirectional, TimeDistributed

__all__ = [
    "GRU",
    "LSTM",
    "RNN",
    "Activation",
    "Add",
    "Average",
    "BatchNormalization",
    "Bidirectional",
    "Concatenate",
    "Dense",
    "Dot",
    "Dropout",
    "EinsumDense",
    "Embedding",
    "Flatten",
    "GRUCell",
    "Identity",
    "Input",
    "InputLayer",
    "InputSpec",
    "LSTMCell",
    "Lambda",
    "Layer",
    "LayerNormalization",
    "Masking",
    "Maximum",
    "Minimum",
    "Multiply",
    "Permute",
    "RepeatVector",
    "Reshape",
    "SimpleRNN",
    "SimpleRNNCell",
    "StackedRNNCells",
    "Subtract",
    "TimeDistributed",
    "Wrapper",
    "add",
    "average",
    "concatenate",
    "deserialize",
    "dot",
    "maximum",
    "minimum",
    "multiply",
    "serialize",
    "subtract",
]
