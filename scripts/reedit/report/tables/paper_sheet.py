"""Measured tables from rows of schema "table": .tex in the paper's layout, .csv raw, .md for the terminal."""

import csv
import io
from collections.abc import Mapping, Sequence
from itertools import groupby
from pathlib import Path
from typing import Any

from markupsafe import Markup

from reedit.evaluate.measures import KINDS, METRICS
from reedit.report.latex.typeset import percent, perplexity, render
from reedit.report.tables import blocks as layout
from reedit.report.tables.blocks import RANGE, SHARED, STATISTICS, Line, Panel, algo, name_parts, names
from reedit.report.tables.paper import STOPPED, TABLES, PaperTable
from reedit.report.tables.render import aligned, bullets
from reedit.storage.schemas import MEASURES

HEADS = {
    "me_ppl": "ME-PPL",
    "ppl_target": "p optimised",
    "ppl_edited": "p edited",
    "delta_p": "abs Δp",
    "delta_p2": "abs Δp2",
}
LEGEND = {
    "unedited": "k = 0: accuracy of specificity is 100 by definition (unchanged from itself), left blank.",
    "start": "k = 0: p edited is the unedited model's perplexity of the new knowledge.",
    "dagger": "† the criterion abs Δp <= 1 was not met: the last iteration.",
    "range": RANGE,
    "infinite": "inf, NaN: beyond the range of floating point, the model has collapsed.",
}
PAGE = 30  # lines of a block that stay on one page in a table of selected k

Row = Mapping[str, Any]
Labels = Mapping[str, str]


def table_tex(
    rows: Sequence[Row],
    number: str,
    templates: str | Path | Sequence[str | Path],
    notes: Sequence[str] = (),
    labels: Labels | None = None,
    intervals: bool = False,
) -> str:
    """Table `number` as TeX for \\input (its first lines name the packages it needs).

    `templates` are the template files, among them table{number}.tex.j2; `labels` gives a model, dataset or
    method another name; `intervals` prints the 95 % intervals as well. A table without rows is a comment
    that says so. Raises InputError for a template that asks for what was not measured.
    """
    table = TABLES[number]
    found = layout.blocks(rows)
    if not found:
        return nothing(number, table.missing)
    strong = {
        cell
        for block in found
        for family in layout.families(block)
        for cell in layout.bold(family, table.compared)
    }
    if table.side_by_side:
        panels = layout.side_by_side(found, aligned=table.every_k)
    else:
        panels = layout.one_below_another(found, by_method=table.every_k)
    printed = [_panel(panel, table, strong, labels or {}, intervals) for panel in panels]
    given = {"panels": printed, "notes": list(notes), "intervals": intervals}
    given |= layout.present(found, table.columns)
    return render(templates, f"table{number}.tex.j2", {"given": given})


def nothing(number: str, missing: str) -> str:
    """A table that the experiment has no runs for: a comment, so that a document with it does not change."""
    return f"% Table {number}: {missing}\n"


def table_csv(
    rows: Sequence[Row], labels: Labels | None = None, measures: Sequence[str] = tuple(MEASURES)
) -> str:
    """The unrounded numbers: fractions and perplexities, each with its spread and interval.

    A cell is empty where there is no such number, as for the unedited model's accuracy of specificity;
    `measures` have their columns even where there is no row.
    """
    measures = list(dict.fromkeys([*measures, *(row["measure"] for row in rows)]))
    columns = [(measure, statistic) for measure in measures for statistic in STATISTICS]
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    head = [measure if statistic == "mean" else f"{measure}_{statistic}" for measure, statistic in columns]
    writer.writerow([*SHARED, "label", *head])
    for block in layout.blocks(rows):
        protocols = layout.protocol_count(block)
        for line in block:
            values = [line.get(*column) for column in columns]
            numbers = ["" if value is None else repr(float(value)) for value in values]
            label = algo(line, protocols, labels or {})
            writer.writerow([*(getattr(line, name) for name in SHARED), label, *numbers])
    return out.getvalue()


def table_md(
    rows: Sequence[Row], number: str, notes: Sequence[str] = (), labels: Labels | None = None
) -> str:
    """The same lines for the eye: aligned Markdown, percent with one decimal, intervals for the score."""
    table, labels = TABLES[number], labels or {}
    title = [f"Table {number}: {table.title}", ""]
    found = layout.blocks(rows)
    if not found:
        return "\n".join([*title, table.missing, "", *bullets(notes), ""])
    kinds = {
        metric: [kind for kind in KINDS if f"{metric}_{kind}" in table.columns]
        for metric in (*METRICS, "score")
    }
    scores = [f"score_{kind}" for kind in kinds.pop("score")]
    head = ["Model", "Algo", "k"] + ["Stops"] * table.side_by_side
    head += [metric.capitalize() for metric in kinds if kinds[metric]]
    head += [score.replace("_", " ").capitalize() for score in scores]
    grid = [head + [HEADS[measure] for measure in table.columns if measure in HEADS]]
    for block in found:
        column = names(name_parts(block[0], labels, table.edits), [len(block)])
        for line, name in zip(block, column, strict=True):
            cells = [name, algo(line, layout.protocol_count(block), labels), _marked_k(line, table)]
            if table.side_by_side:
                cells.append(line.role.replace("_", " ") if line.role in table.compared else "")
            for metric, printed in kinds.items():
                if printed:
                    cells.append(" / ".join(_percent(line, f"{metric}_{kind}") or "-" for kind in printed))
            cells += [_with_interval(line, score) for score in scores]
            cells += [perplexity(line.printed(measure)) for measure in table.columns if measure in HEADS]
            grid.append(cells)
    pairs = "accuracy / success; " if kinds["efficacy"] == list(KINDS) else ""
    legend = [f"Percent, {pairs}score: their harmonic mean [95 % bootstrap interval over cases]."]
    if any(text.endswith("*") for _, _, text, *_ in grid):
        legend.append("* the criterion abs Δp <= 1 is met.")
    present = layout.present(found, table.columns)
    legend += [LEGEND[name] for name in LEGEND if present[name]]
    return "\n".join([*title, *aligned(grid), "", *bullets([*legend, *notes]), ""])


def _panel(
    panel: Panel, table: PaperTable, strong: set[tuple[int, str]], labels: Labels, intervals: bool
) -> dict[str, Any]:
    """The head and the printed lines of a panel, for the templates."""
    printed = []
    for block in panel.blocks:
        lines = [line for group in block for row in group for line in row if line]
        protocols = layout.protocol_count(lines)
        parts = name_parts(lines[0], labels, table.edits)[: 1 if table.side_by_side else None]
        column = iter(names(parts, [len(group) for group in block], again=table.every_k))
        breaks = table.every_k or len(lines) > PAGE
        groups = []
        for number, group in enumerate(block, start=1):
            algos = [algo(next(line for line in row if line), protocols, labels) for row in group]
            printed_group = [
                {
                    "name": next(column),
                    "algo": "" if name == before else name,  # named once
                    "cells": _cells(row, table, strong, intervals),
                    "ends": False,
                }
                for before, name, row in zip(["", *algos], algos, group, strict=False)
            ]
            # a page may end here, but not below the unedited model, which heads what follows
            printed_group[-1]["ends"] = number == len(block) or (breaks and not _unedited(group[-1]))
            groups.append(printed_group)
        printed.append(groups)
    return {"head": _head(panel, table, labels), "blocks": printed}


def _unedited(row: Sequence[Line | None]) -> bool:
    """Whether a printed line is an unedited model's."""
    return all(line is None or line.role == "unedited" for line in row)


def _own_k(table: PaperTable) -> bool:
    """Whether each dataset has a column of its own for k."""
    return table.side_by_side and not table.every_k


def _head(panel: Panel, table: PaperTable, labels: Labels) -> dict[str, Any]:
    """Datasets and families of columns (an efficacy's accuracy and success), each with its place."""
    own_k = _own_k(table)
    end = 2 if own_k else 3  # Model, Algo and perhaps k come first
    datasets: list[dict[str, Any]] = []
    for dataset in panel.datasets:
        first = end + 1
        end += own_k
        found = []
        for family, members in groupby(table.columns, key=_family):
            measures = list(members)
            found.append(
                {"name": family, "measures": measures, "first": end + 1, "last": end + len(measures)}
            )
            end += len(measures)
        label = labels.get(dataset, dataset)
        datasets.append({"label": label, "first": first, "last": end, "families": found})
    return {"datasets": datasets, "own_k": own_k, "count": end}


def _family(measure: str) -> str:
    """What a column stands under: its metric, perplexity, or its own name."""
    if measure in MEASURES:
        return measure.partition("_")[0]
    return measure if measure.startswith("delta") else "perplexity"


def _cells(
    row: Sequence[Line | None], table: PaperTable, strong: set[tuple[int, str]], intervals: bool
) -> list[dict[str, Any]]:
    """The cells of a printed line after its names: k and the measures of each dataset."""
    if _own_k(table):
        ks: list[list[dict[str, Any]]] = [[_k_cell(line, table)] for line in row]
        shared = []
    else:
        ks = [[] for _ in row]
        shared = [_k_cell(next(line for line in row if line), table)]
    for own, line in zip(ks, row, strict=True):
        shared += own + [_measured(line, measure, table, strong, intervals) for measure in table.columns]
    return shared


def _k_cell(line: Line | None, table: PaperTable) -> dict[str, Any]:
    """A k that two datasets share has no color: their rules may stop at different ones."""
    if line is None:
        return _cell("")
    shared = table.side_by_side and not _own_k(table)
    return _cell(line.k_text, "" if shared else _color(line, table)) | {"dagger": line.role == "last"}


def _measured(
    line: Line | None, measure: str, table: PaperTable, strong: set[tuple[int, str]], intervals: bool
) -> dict[str, Any]:
    if line is None:
        return _cell("")
    warns = line.collapsed and measure == "me_ppl"  # told even where the criterion is met
    cell = _cell(_text(line, measure), "collapsed" if warns else _color(line, table))
    interval = _interval(line, measure) if intervals else ""
    return cell | {"bold": (line.row, measure) in strong, "interval": interval}


def _cell(text: str, color: str = "") -> dict[str, Any]:
    return {"text": text, "color": color, "bold": False, "interval": "", "dagger": False}


def _color(line: Line, table: PaperTable) -> str:
    """The stopping rule that keeps the line, or whether its model has collapsed."""
    if line.role in ("selected", *STOPPED):
        return line.role
    return "collapsed" if line.collapsed and not table.side_by_side else ""


def _text(line: Line, measure: str) -> str:
    """A number as the paper prints it; an empty string where there is no measurement."""
    value = line.printed(measure)
    if measure in MEASURES:
        return percent(value)
    return Markup(r"$\infty$") if perplexity(value) == "inf" else perplexity(value)


def _interval(line: Line, measure: str) -> str:
    """ "[70.1, 86.2]", or an empty string."""
    if measure in MEASURES:
        low, high = (_percent(line, measure, bound) for bound in ("low", "high"))
    else:
        low, high = (perplexity(line.printed(measure, bound)) for bound in ("low", "high"))
    return f"[{low}, {high}]" if low and high else ""


def _with_interval(line: Line, measure: str) -> str:
    """ "79.0 [70.1, 86.2]"."""
    return " ".join(filter(None, [_percent(line, measure), _interval(line, measure)]))


def _percent(line: Line, measure: str, statistic: str = "mean") -> str:
    """Percent with one decimal and no sign."""
    return percent(line.get(measure, statistic), 1, sign="")


def _marked_k(line: Line, table: PaperTable) -> str:
    """k, with a mark where the rule never stopped or, among all k, where it stops."""
    if line.role == "last":
        return f"{line.k_text}†"
    return f"{line.k_text}*" if table.every_k and line.role == "selected" else line.k_text
