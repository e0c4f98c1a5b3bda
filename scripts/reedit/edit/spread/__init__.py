"""SPREAD: the weights that write these vectors, and what of them is left as it was."""
