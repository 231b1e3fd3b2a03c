"""From a fused graph to kernels in order, on memory that they share."""
