"""What a computation is: sizes, types, ops, and the graph of them, with what it means."""
