"""rules/evaluate.smk: scores, the collapse check, generation, norms."""
