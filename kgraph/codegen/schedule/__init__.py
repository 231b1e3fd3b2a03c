"""From a node of the fused graph to the kernel that computes it, as plain data."""
