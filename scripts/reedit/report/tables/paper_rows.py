"""The rows of the paper's tables, from all runs: each table with its schema and what produced it."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from reedit.report.rows.hardware import hardware_rows
from reedit.report.rows.lines import Method, methods_of, never_stopped, partly_stopped
from reedit.report.rows.runs import Gathered, Row, Samples, table_rows
from reedit.report.tables.paper import HARDWARE, NUMBERS, TABLES
from reedit.report.tables.paper_sheet import PaperTable

Made = tuple[list[Row], str, dict[str, Any]]  # rows, the name of their schema, provenance


def paper_rows(
    found: Gathered, runs: Sequence[Mapping[str, Any]], iterations: Sequence[Path | str], seed: int
) -> Iterator[Made]:
    """What each table is made of, in the order of NUMBERS.

    `runs`: the identities that `found` was gathered from; `iterations`: each one's file; `seed`: that of the
    intervals.
    """
    methods, samples = methods_of(found.rows), Samples(found.scores, seed)
    for number in NUMBERS:
        if number == HARDWARE:
            rows = hardware_rows(list(zip(runs, iterations, strict=True)))
            yield rows, "hardware", {"runs": found.made_by}
        else:
            yield _made(TABLES[number], methods, samples, found.made_by)


def _made(table: PaperTable, methods: Sequence[Method], samples: Samples, made_by: Mapping[str, Any]) -> Made:
    """A table of lines; its provenance has the runs that it shows, and the methods that never stopped."""
    rows = table_rows(table.lines(methods), samples)
    shown = {"{model}/{dataset}/{method}".format(**row) for row in rows}
    own = {run: made for run, made in made_by.items() if run.rpartition("/")[0] in shown}
    told = methods if table.side_by_side else []
    unmet, partly = ([method.path for method in some(told)] for some in (never_stopped, partly_stopped))
    return rows, "table", {"runs": own, "unmet": unmet, "partly": partly}
