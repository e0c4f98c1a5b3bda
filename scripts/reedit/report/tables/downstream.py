"""What the downstream tasks say of each edited model beside the unedited one, as a table."""

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from reedit.report.latex.typeset import half_up, render
from reedit.report.tables.render import aligned, bullets
from reedit.storage.csv_text import csv_text

TITLE = "Downstream tasks: each edited model beside the unedited one."
IDENTITY = ("model", "dataset", "method", "trial", "k")
COLUMNS = {  # column -> what stands above it
    "model": "Model",
    "dataset": "Facts",
    "method": "Algo",
    "task": "Task",
    "metric": "Metric",
    "trial": "Trial",
    "k": "k",
    "documents": "Documents",
    "unedited": "Unedited",
    "edited": "Edited",
    "difference": "Difference",
    "stderr": "SE",
}
TEXTS = 5  # of the columns, the first ones
READING = (
    "Values are lm-evaluation-harness's own; SE is the standard error of the edited model's, without regard"
    " to both models' answering the same documents."
)


def downstream_rows(
    run: Mapping[str, Any], edited: Sequence[Mapping[str, Any]], unedited: Sequence[Mapping[str, Any]]
) -> list[dict[str, Any]]:
    """A row of COLUMNS for each task and metric of a run; `run`: its IDENTITY."""
    before = {(row["task"], row["metric"]): row["value"] for row in unedited}
    rows = []
    for row in edited:
        value = before.get((row["task"], row["metric"]))
        rows.append(
            {name: run[name] for name in IDENTITY}
            | {name: row[name] for name in ("task", "metric", "documents", "stderr")}
            | {"unedited": value, "edited": row["value"]}
            | {"difference": None if value is None else row["value"] - value}
        )
    return rows


def notes(runs: Sequence[Mapping[str, Any]]) -> list[str]:
    """What the values depend on, from the provenance of every model's."""
    harness = _distinct(f"lm_eval {one['harness']['lm_eval']}" for one in runs)
    tasks = _distinct(f"{task} {number}" for one in runs for task, number in one["task_versions"].items())
    limits = _distinct(str(one["limit"] or "all") for one in runs)
    return [READING, f"{harness}; versions of the tasks: {tasks}; documents of each at most: {limits}."]


def _distinct(values: Any) -> str:
    return ", ".join(dict.fromkeys(values))


def downstream_tex(
    rows: Sequence[Mapping[str, Any]],
    templates: Sequence[str | Path],
    told: Sequence[str],
    labels: Mapping[str, str],
) -> str:
    """As TeX for \\input; `templates` are the template files, among them downstream.tex.j2."""
    head, *lines = _grid(rows, labels)
    values = {"title": TITLE.removesuffix("."), "head": head, "lines": lines, "below": list(told)}
    return render(templates, "downstream.tex.j2", values)


def downstream_csv(rows: Sequence[Mapping[str, Any]]) -> str:
    return csv_text(list(COLUMNS), rows)


def downstream_md(rows: Sequence[Mapping[str, Any]], told: Sequence[str], labels: Mapping[str, str]) -> str:
    return "\n".join([TITLE, "", *aligned(_grid(rows, labels), left=TEXTS), "", *bullets(told), ""])


def _grid(rows: Sequence[Mapping[str, Any]], labels: Mapping[str, str]) -> list[list[str]]:
    """What is printed, the head first."""
    named = [
        row
        | {name: labels.get(row[name], row[name]) for name in ("model", "dataset")}
        | {"method": labels.get(row["method"], row["method"].upper())}
        for row in rows
    ]
    return [list(COLUMNS.values()), *([_text(row[column]) for column in COLUMNS] for row in named)]


def _text(value: Any) -> str:
    """A number that is no count with four decimals; nothing for what was not measured."""
    if value is None:
        return ""
    return half_up(value, 4) if isinstance(value, float) and math.isfinite(value) else str(value)
