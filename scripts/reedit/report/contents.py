"""What the report of an experiment consists of: which tables, comparisons and figures it has."""

from collections.abc import Mapping
from typing import Any

from reedit.report.tables.catalog import CATALOG, COMPARISONS, Wanted, always, has_checkpoints, option


def beside_sequential(experiment: Any) -> list[Any]:
    """The runs that edit their cases in batches, one after another, and those of the same entries."""
    runs = experiment.runs.values()
    entries = [run.entry for run in runs if run.method.batch]
    return [run for run in runs if run.entry in entries]


FIGURES: Mapping[str, Wanted] = {  # in the document's order
    "perplexity": always,
    "example": always,
    "underedit": always,
    "distribution": always,
    "scores": always,
    "tradeoff": always,
    "differences": always,
    "norms": option("norms"),
    "retention": lambda experiment: bool(beside_sequential(experiment)),
    "along": has_checkpoints,
}


def contents(experiment: Any) -> list[list[str]]:
    """The names of the tables that an experiment has, of its comparisons with the paper's tables (the summary
    first), and of its figures, each in the document's order."""
    tables, comparisons = ([(table.name, wanted) for table, wanted in of] for of in (CATALOG, COMPARISONS))
    parts = (tables, comparisons, FIGURES.items())
    return [[name for name, wanted in part if wanted(experiment)] for part in parts]
