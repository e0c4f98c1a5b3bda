"""Iterative and neighbor-assisted model editing: the library behind the workflow.

Every module is one stage or one concept of the paper; nothing here knows about Snakemake.
"""
