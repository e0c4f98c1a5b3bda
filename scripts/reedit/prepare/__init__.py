"""rules/prepare.smk: model, facts, neighbors, splits, prefixes, causal tracing."""
