"""The comparison's first page: cells by table, protocol and verdict, what differs most, the slips met."""

import math
from collections import Counter
from collections.abc import Callable, Sequence
from operator import itemgetter
from typing import Any

from reedit.report.rows.comparison import VERDICTS, Row
from reedit.report.rows.groups import grouped
from reedit.report.rows.reported import IDENTITY
from reedit.report.tables.comparison import LEGEND, MARKS, measure_cell, named, text_of
from reedit.report.tables.notes import no_notes
from reedit.report.tables.sheet import Block, Cell, Column, Grid, Sheet, Style, Table, group
from reedit.report.words import Labels, k_text
from reedit.storage.schemas import MEASURES, SCHEMAS

LONGEST = 18  # lines of each list of differing cells, so that both fit on a page


class ComparisonSummary(Table):
    """Counts, two lists of what differs, and the slips, under one title."""

    def grids(self, rows: Sequence[Row], style: Style) -> list[Grid]:
        shares, perplexities = _differing(rows)
        grids = [_grid(COUNTED, _counts(rows), notes=LEGEND)]
        for words, found in (
            ("Shares that differ, percent: largest difference first", shares),
            ("Perplexities that differ: largest ratio first", perplexities),
        ):
            more = len(found) - LONGEST
            title = f"{words}; {more} more in results/tables/comparison.csv" if more > 0 else words
            grids += [_grid(LISTED, found[:LONGEST], title)] if found else []
        slips = _slips(rows)
        return [*grids, _grid(SLIPS, slips, "Slips met")] if slips else grids

    def sheet(self, rows: Sequence[Row], style: Style) -> Sheet:
        return Sheet(self.grids(rows, style))

    def raw(self, rows: Sequence[Row], labels: Labels) -> tuple[Sequence[str], Sequence[Row]]:
        """Every cell that differs, largest first (shares, then perplexities), then the slips met."""
        shares, perplexities = _differing(rows)
        slips = [row for row in rows if row["verdict"] == "slip"]
        return SCHEMAS["comparison"].names, [*shares, *perplexities, *slips]


def _number(name: str) -> Callable[[Row], str]:
    return lambda row: "" if row[name] is None else text_of(row, name)


def _ks(row: Row) -> str:
    """The paper's k and ours, where they are not the same."""
    own, mine = str(row["k"]), k_text(row["run_k_min"], row["run_k"])
    return own if own == mine else f"{own} / {mine}"


COUNTED = (
    Column("table", "table"),
    Column("protocol", "protocol", align="l"),
    Column("reported", "reported"),
    Column("measured", "measured"),
    *(Column(Cell(name, tex=f"{MARKS.get(name, '')} {name}".strip()), name) for name in VERDICTS),
)
LISTED = (
    Column("Table", "table"),
    Column("Model", lambda row: named(row["model"]), align="l"),
    Column("Dataset", lambda row: named(row["dataset"]), align="l"),
    Column("Algo", lambda row: named(row["method"]), align="l"),
    Column("Protocol", "protocol", align="l"),
    Column("k", _ks),
    Column("Measure", lambda row: measure_cell(row["measure"])),
    *(
        Column(name.capitalize(), _number(name))
        for name in ("reported", "measured", "low", "high", "difference")
    ),
)
SLIPS = (
    Column("Why", "why", align="125mm"),
    Column("Lines", "lines", align="85mm"),
    Column("Tables", "tables"),
    Column("Cells", "cells"),
)
COMPARISON = ComparisonSummary(
    name="comparison",
    title="Reported and measured: cells by verdict",
    schema="comparison",
    produced_by=no_notes,
    empty="Nothing in this experiment stands for a model and dataset of the paper (reported_as in the"
    " configuration says what does), so there is no comparison with its numbers.",
)


def _grid(columns: Sequence[Column], rows: Sequence[Row], title: str = "", notes: Sequence[str] = ()) -> Grid:
    return Grid(columns, [Block([group(columns, rows)])], title=title, notes=notes)


def _counts(rows: Sequence[Row]) -> list[dict[str, Any]]:
    """Cells by table and protocol; a cell counts once for every run that stands for it."""

    def place(row: Row) -> tuple[int, str]:
        return row["table"], row["protocol"] or "~"  # what did not run comes last

    result = []
    for (table, protocol), members in grouped(sorted(rows, key=place), place).items():
        reported = [row for row in members if row["reported"] is not None]
        verdicts = Counter(row["verdict"] for row in members)
        result.append(
            {"table": table, "protocol": "not run" if protocol == "~" else protocol}
            | {"reported": len(reported), "measured": sum(row["measured"] is not None for row in reported)}
            | {verdict: verdicts[verdict] for verdict in VERDICTS}
        )
    return result


def _differing(rows: Sequence[Row]) -> tuple[list[Row], list[Row]]:
    """The cells that differ, largest first: shares by points, perplexities by how many times."""
    differ = [row for row in rows if row["verdict"] == "differs"]
    shares = [row for row in differ if row["measure"] in MEASURES]
    others = [row for row in differ if row["measure"] not in MEASURES]
    return sorted(shares, key=_points, reverse=True), sorted(others, key=_times, reverse=True)


def _points(row: Row) -> float:
    return abs(row["difference"]) if math.isfinite(row["difference"]) else math.inf


def _times(row: Row) -> float:
    """How many times a perplexity is above or below the reported one, as a logarithm."""
    if not math.isfinite(row["measured"]):
        return math.inf
    reported, measured = (abs(row[name]) + row["tolerance"] for name in ("reported", "measured"))
    return abs(math.log(measured / reported))


def _slips(rows: Sequence[Row]) -> list[dict[str, Any]]:
    """The slips met, by reason: in which tables, how many cells, whose lines."""
    slips = [row for row in rows if row["verdict"] == "slip"]
    result = []
    for why, members in grouped(slips, itemgetter("note")).items():
        cells = {(*(row[name] for name in IDENTITY), row["measure"]) for row in members}
        lines = dict.fromkeys(f"{named(row['model'])} {named(row['method'])}" for row in members)
        tables = sorted({row["table"] for row in members})
        result.append(
            {"why": why, "lines": ", ".join(lines)}
            | {"tables": ", ".join(map(str, tables)), "cells": len(cells)}
        )
    return result
