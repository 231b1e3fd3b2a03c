"""Machine code emitted with llvmlite alone: contraction tiles, thread pool, step interpreter. Imports no numba."""
