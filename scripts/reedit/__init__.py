"""Iterative and neighbor-assisted model editing: the library behind the workflow.

Its folders are the stages of the workflow, as rules/ has them: fetch, prepare, statistics, edit, evaluate,
report, use; and what all of them stand on: settings, models, storage, jobs. Every module is one concept;
nothing here knows about Snakemake.
"""
