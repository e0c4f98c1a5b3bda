"""rules/prepare.smk: model, facts, neighbors, splits and trials, prefixes, causal tracing."""
