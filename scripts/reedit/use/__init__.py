"""rules/use.smk and `python -m reedit`: what is made of an edited model."""
