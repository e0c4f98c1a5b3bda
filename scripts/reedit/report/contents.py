"""What the report of an experiment consists of: which tables, comparisons and figures it has."""

from collections.abc import Mapping
from typing import Any

from reedit.report.tables.catalog import CATALOG, COMPARISONS, Wanted, always, option


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
    "norms": option("norms"),
    "retention": lambda experiment: bool(beside_sequential(experiment)),
}


def tables_of(experiment: Any) -> list[str]:
    """The names of the tables that an experiment has, but for comparisons, in the document's order."""
    return [table.name for table, wanted in CATALOG if wanted(experiment)]


def comparisons_of(experiment: Any) -> list[str]:
    """The names of its comparisons with the paper's tables, the summary first."""
    return [table.name for table, wanted in COMPARISONS if wanted(experiment)]


def figures_of(experiment: Any) -> list[str]:
    """The names of its figures."""
    return [name for name, wanted in FIGURES.items() if wanted(experiment)]
