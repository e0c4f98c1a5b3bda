"""Every table by its name in results/tables, in the document's order, and when an experiment has it.

To add one, declare it in a file here and give it a row; docs/extend.md does so once.
"""

from collections.abc import Callable
from operator import attrgetter
from typing import Any

from reedit.report.tables.along import ALONG
from reedit.report.tables.comparison import comparison_table
from reedit.report.tables.comparison_summary import COMPARISON
from reedit.report.tables.differences import DIFFERENCES, DIFFERENCES_GENERATED
from reedit.report.tables.downstream import DOWNSTREAM
from reedit.report.tables.eligible import ELIGIBLE
from reedit.report.tables.fluency import FLUENCY
from reedit.report.tables.generation import GENERATION
from reedit.report.tables.hardware import HARDWARE
from reedit.report.tables.norms import NORMS
from reedit.report.tables.paper import TABLES as PAPER
from reedit.report.tables.portability import PORTABILITY
from reedit.report.tables.sheet import Table

Wanted = Callable[[Any], bool]  # of an Experiment, whose code tables do not depend on


def always(_: Any) -> bool:
    """Of a table that every experiment has."""
    return True


def option(name: str) -> Wanted:
    """Of a table that `report` in the configuration switches on or off."""
    return attrgetter(f"asked.report.{name}")


def has_checkpoints(experiment: Any) -> bool:
    """Whether some method is scored along the way."""
    return any(run.method.checkpoints for run in experiment.runs.values())


def has_groups(experiment: Any) -> bool:
    """Whether some dataset has groups of prompts beside its scored ones."""
    return bool(experiment.grouped_runs)


CATALOG: tuple[tuple[Table, Wanted], ...] = (
    (PAPER["1"], always),
    (PAPER["2"], always),
    (DIFFERENCES, always),
    (PORTABILITY, has_groups),
    (GENERATION, option("generation")),
    (DIFFERENCES_GENERATED, option("generation")),
    (FLUENCY, option("fluency")),
    (NORMS, option("norms")),
    (ALONG, has_checkpoints),
    (ELIGIBLE, lambda experiment: bool(experiment.compared_filters)),
    (DOWNSTREAM, lambda experiment: experiment.asked.downstream is not None),
    (PAPER["3"], always),
    (PAPER["4"], always),
    (HARDWARE, always),
    *((PAPER[number], always) for number in ("6", "7", "8", "9", "10")),
)
# comparison sums up; comparison1 stands beside table1, where a model of the paper's runs
COMPARISONS: tuple[tuple[Table, Wanted], ...] = (
    (COMPARISON, always),
    *((comparison_table(number), lambda experiment: experiment.runs_a_reported_model) for number in PAPER),
)
TABLES = {table.name: table for table, _ in (*CATALOG, *COMPARISONS)}
