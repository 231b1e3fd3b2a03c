"""Where older Keras programs look for `pad_sequences`."""

from kgraph.utils.arrays import pad_sequences as pad_sequences
