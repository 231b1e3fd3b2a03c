"""From a definition to what can be called: `kgraph.compile`, and functions of functions."""
