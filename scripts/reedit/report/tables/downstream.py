"""What the downstream tasks say of each edited model beside the unedited one, in print."""

import math
from collections.abc import Mapping
from typing import Any

from reedit.report.tables.notes import listed
from reedit.report.tables.sheet import Column, K, Row, Table
from reedit.report.words import Labels, half_up


def _harness_notes(made_by: Mapping[str, Any], _: Labels) -> list[str]:
    """What the values depend on: lm-evaluation-harness and its tasks."""
    runs = made_by["runs"].values()
    harness = listed(f"lm_eval {one['harness']['lm_eval']}" for one in runs)
    tasks = listed(f"{task} {version}" for one in runs for task, version in one["task_versions"].items())
    limits = listed(one["limit"] or "all" for one in runs)
    return [f"{harness}; versions of the tasks: {tasks}; documents of each at most: {limits}."]


def _decimals(row: Row, name: str) -> str:
    """A value with four decimals; nothing for what was not measured."""
    value = row[name]
    if value is None:
        return ""
    return half_up(value, 4) if math.isfinite(value) else str(value)


DOWNSTREAM = Table(
    name="downstream",
    title="Downstream tasks: each edited model beside the unedited one.",
    schema="downstream_summary",
    produced_by=_harness_notes,
    columns=(
        Column("Model", "model", align="l"),
        Column("Facts", "dataset", align="l"),
        Column("Algo", "method", align="l"),
        Column("Task", "task", align="l"),
        Column("Metric", "metric", align="l"),
        Column("Trial", "trial"),
        Column(K, "k"),
        Column("After", lambda row: "" if row["after"] is None else str(row["after"])),
        Column("Documents", "documents"),
        Column("Unedited", lambda row: _decimals(row, "unedited")),
        Column("Edited", lambda row: _decimals(row, "edited")),
        Column("Difference", lambda row: _decimals(row, "difference")),
        Column("SE", lambda row: _decimals(row, "stderr")),
    ),
    left=5,
    reading=(
        "After: so many edits of k, at a checkpoint; nothing where k was complete.",
        "Values are lm-evaluation-harness's own; SE is the standard error of the edited model's, without"
        " regard to both models' answering the same documents.",
    ),
)
