"""OPTIMIZATION: the vectors that make the target likely."""
