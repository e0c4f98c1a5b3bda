"""rules/prepare.smk: model, facts, groups, neighbors, splits and trials, prefixes, causal tracing."""
