"""rules/statistics.smk: second moments of a model over a corpus."""
