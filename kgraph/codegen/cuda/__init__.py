"""Kernels printed for numba-cuda, and run by a GPU or by its emulation."""
