"""rules/evaluate.smk: scores, the collapse check, norms, groups, free answers, texts, downstream tasks."""
