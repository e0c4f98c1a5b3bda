"""Reported against measured: each cell of the paper's tables beside our run's, with a verdict.

A run's line stands for one of the paper's by the names of its model, dataset and method (`reported_as` of
their definitions). In Tables 6-10 the two share their k. Tables 1-4 show chosen iterations, so their lines
meet by what they were chosen for, and both k are told.
"""

import math
from collections.abc import Iterable, Mapping, Sequence
from operator import attrgetter
from typing import Any

from reedit.report.rows.groups import grouped
from reedit.report.rows.reported import IDENTITY, MEASURES, ReportedLine
from reedit.report.rows.table_lines import Line, blocks
from reedit.storage import schemas

VERDICTS = ("agrees", "within interval", "differs", "slip", "not measured", "not reported")
ROLES = {  # what a reported line is shown for: what ours may be shown for
    "unedited": ("unedited",),
    "selected": ("selected", "last", "unjudged"),  # the criterion was not met, or is not known
    "proposed": ("proposed", "selected"),
    "monotonic": ("monotonic",),
    "small_change": ("small_change",),
}

UNREPORTED = {"verdict": "not reported", "note": ""}
Row = dict[str, Any]
Named = tuple[str, str, str]  # the paper's names of model, dataset and method


def compare(
    reported: Sequence[ReportedLine],
    tables: Mapping[int, Sequence[Mapping[str, Any]]],
    reported_as: Mapping[str, Mapping[str, str]],
) -> list[Row]:
    """Rows of schema "comparison" for the tables given, in the paper's order; none if no line stands for it.

    `tables` maps a number to rows of schema "table". `reported_as` holds, under "models", "datasets" and
    "methods", {our name: the paper's}; a name that is missing stands for itself.
    """
    rows, stands = [], False
    for number, measured in tables.items():
        lines = [line for line in reported if line.table == number]
        ours = _standing([line for block in blocks(measured) for line in block], lines, reported_as)
        stands = stands or bool(ours)
        rows += _table(number, lines, ours)
    return rows if stands else []


def verdict(measured: float, reported: tuple[float, float], low: float | None, high: float | None) -> str:
    """agrees, within interval or differs; an infinite or undefined measurement differs.

    `reported` is the range of what the printed number may stand for, `low` and `high` the measured interval.
    """
    if not math.isfinite(measured):
        return "differs"
    slack = 1e-9 * (reported[1] - reported[0])  # what is printed as half a unit away is half a unit away
    least, most = reported[0] - slack, reported[1] + slack
    if least <= measured <= most:
        return "agrees"
    if low is not None and high is not None and low <= most and least <= high:
        return "within interval"
    return "differs"


def _standing(
    lines: Iterable[Line], reported: Sequence[ReportedLine], reported_as: Mapping[str, Mapping[str, str]]
) -> dict[Named, list[list[Line]]]:
    """Our runs by what they stand for, each as its lines; only those of a reported model and dataset.

    Where several runs stand for the same lines, those with the paper's number of edits are preferred: the
    eligible cases of Table 2 are no rival to the 1000 of Table 1.
    """
    edits = {(line.model, line.dataset): line.edits for line in reported}

    def names(line: Line) -> Named:
        model, dataset, method = (
            reported_as[section].get(own, own)
            for section, own in zip(("models", "datasets", "methods"), line.path, strict=True)
        )
        return model, dataset, method

    result = {}
    for named, found in grouped((line for line in lines if names(line)[:2] in edits), names).items():
        runs = list(grouped(found, attrgetter("path", "protocol", "edits")).values())
        result[named] = [run for run in runs if run[0].edits == edits[named[:2]]] or runs
    return result


def _table(
    number: int, reported: Sequence[ReportedLine], ours: Mapping[Named, list[list[Line]]]
) -> list[Row]:
    """One table's rows: the reported lines in order, then our lines that the paper has no counterpart of."""
    printed = [measure for measure in MEASURES if any(measure in line.values for line in reported)]
    rows: list[Row] = []
    used: set[int] = set()
    for line in reported:
        for run in ours.get((line.model, line.dataset, line.method), [[]]):
            mine = _counterpart(line, run)
            used.add(id(mine))
            rows += _cells(line, mine, run[0] if run else None, printed)
    for names, runs in ours.items():
        for mine in (line for run in runs for line in run if id(line) not in used):
            who = dict(zip(("model", "dataset", "method"), names, strict=True))
            common = {"table": number, **who, "role": mine.role, "k": None, "edits": None}
            rows += [
                common | _ours(mine, mine) | _numbers(None, mine, measure) | UNREPORTED
                for measure in printed
                if mine.printed(measure) is not None
            ]
    return rows


def _counterpart(line: ReportedLine, run: Sequence[Line]) -> Line | None:
    """The line of a run that a reported one is compared with."""
    if line.role == "first":
        return next((mine for mine in run if mine.k == 1), None)  # which may be the selected one too
    if line.role == "iteration":
        return next((mine for mine in run if mine.k == line.k), None)
    return next((mine for mine in run if mine.role in ROLES[line.role]), None)


def _cells(line: ReportedLine, mine: Line | None, run: Line | None, printed: Sequence[str]) -> list[Row]:
    """A reported line cell by cell, and the cells of `mine` that are empty in it but not in its table."""
    common = {name: getattr(line, name) for name in (*IDENTITY, "role", "edits")} | _ours(mine, run)
    rows = []
    for measure in printed:
        numbers, judged = _numbers(line.values.get(measure), mine, measure), "not reported"
        if numbers["reported"] is None and numbers["measured"] is None:
            continue
        if numbers["reported"] is not None:
            least, most = line.range(measure)
            numbers |= {"tolerance": line.tolerance(measure), "least": least, "most": most}
            if numbers["measured"] is None:
                judged = "not measured"
            elif measure in line.slips:
                judged = "slip"
            else:
                judged = verdict(numbers["measured"], (least, most), numbers["low"], numbers["high"])
        note = line.slips[measure] if judged == "slip" else _note(line, mine, run)
        rows.append(common | numbers | {"verdict": judged, "note": note})
    return rows


def _ours(mine: Line | None, run: Line | None) -> Row:
    """The columns of a run, and of the line of it that is compared."""
    return {
        "run": run and f"{run.model}/{run.dataset}/{run.method}",
        "protocol": run and run.protocol,
        "run_k": mine and mine.k,
        "run_k_min": mine and mine.k_min,
        "run_edits": run and run.edits,
    }


def _numbers(reported: float | None, mine: Line | None, measure: str) -> Row:
    """What both sides have of a measure, and by how much they differ."""
    measured = mine and mine.printed(measure)
    low, high = _range(mine, measure) if mine else (None, None)
    difference = None if None in (reported, measured) else measured - reported
    numbers = {"reported": reported, "measured": measured, "low": low, "high": high, "difference": difference}
    return {"measure": measure} | numbers | dict.fromkeys(("tolerance", "least", "most"))


def _range(line: Line, measure: str) -> tuple[float | None, float | None]:
    """The bootstrap interval; perplexities have none, so two spreads over the trials either way."""
    mean, spread = line.printed(measure), line.printed(measure, "spread")
    if measure in schemas.MEASURES or mean is None or spread is None or not math.isfinite(mean):
        return line.printed(measure, "low"), line.printed(measure, "high")
    return mean - 2 * spread, mean + 2 * spread


def _note(line: ReportedLine, mine: Line | None, run: Line | None) -> str:
    """What a reader has to know beside the numbers: another k, another number of edits, no such line."""
    if run is None:
        return "no run stands for this line"
    notes = []
    if mine is None:
        notes.append("the run has no such line")
    elif mine.k_text != str(line.k):
        notes.append(f"k = {mine.k_text}, reported {line.k}")
    if run.edits != line.edits:
        notes.append(f"{run.edits} edits, reported {line.edits}")
    return "; ".join(notes)
