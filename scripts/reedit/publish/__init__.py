"""make publish, make compare-results: results kept with the docs, and whether they come out again."""
