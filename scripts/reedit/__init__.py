"""Iterative and neighbor-assisted model editing: the library behind the workflow.

Its folders are the stages of the workflow, as rules/ has them (fetch, prepare, statistics, edit, tune,
evaluate, report, use), what they stand on (storage, jobs, methods, models), what is asked (settings), and
what calls the workflow (watch, rehearse, publish). Every module is one concept. docs/house.md is the way in.
"""
