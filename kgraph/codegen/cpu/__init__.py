"""Kernels printed as Python, compiled by numba and LLVM, and run."""
