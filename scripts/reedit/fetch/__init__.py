"""rules/fetch.smk: verified downloads."""
