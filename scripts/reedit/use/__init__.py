"""rules/use.smk, `python -m reedit` and make verify: what is done with results and edited models."""
