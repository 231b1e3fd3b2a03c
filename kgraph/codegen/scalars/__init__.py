"""Scalar functions: what one element of an elementwise op is."""
