"""What the downstream tasks say of each edited model beside the unedited one, in print."""

import math
from collections.abc import Iterable, Mapping
from typing import Any

from reedit.report.tables.sheet import Column, K, Row, Table
from reedit.report.words import Labels, half_up


class DownstreamTable(Table):
    """It tells of lm-evaluation-harness and its tasks what the values depend on."""

    def produced_by(self, made_by: Mapping[str, Any], labels: Labels) -> list[str]:
        runs = made_by["runs"].values()
        harness = _distinct(f"lm_eval {one['harness']['lm_eval']}" for one in runs)
        tasks = _distinct(
            f"{task} {version}" for one in runs for task, version in one["task_versions"].items()
        )
        limits = _distinct(str(one["limit"] or "all") for one in runs)
        return [f"{harness}; versions of the tasks: {tasks}; documents of each at most: {limits}."]


def _distinct(values: Iterable[str]) -> str:
    return ", ".join(dict.fromkeys(values))


def _decimals(row: Row, name: str) -> str:
    """A value with four decimals; nothing for what was not measured."""
    value = row[name]
    if value is None:
        return ""
    return half_up(value, 4) if math.isfinite(value) else str(value)


DOWNSTREAM = DownstreamTable(
    name="downstream",
    title="Downstream tasks: each edited model beside the unedited one.",
    schema="downstream_summary",
    columns=(
        Column("Model", "model", align="l"),
        Column("Facts", "dataset", align="l"),
        Column("Algo", "method", align="l"),
        Column("Task", "task", align="l"),
        Column("Metric", "metric", align="l"),
        Column("Trial", "trial"),
        Column(K, "k"),
        Column("Documents", "documents"),
        Column("Unedited", lambda row: _decimals(row, "unedited")),
        Column("Edited", lambda row: _decimals(row, "edited")),
        Column("Difference", lambda row: _decimals(row, "difference")),
        Column("SE", lambda row: _decimals(row, "stderr")),
    ),
    left=5,
    reading=(
        "Values are lm-evaluation-harness's own; SE is the standard error of the edited model's, without"
        " regard to both models' answering the same documents.",
    ),
)
