"""The paper's own numbers as if they had been measured: rows of schema "table" made from reported.csv."""

from pathlib import Path
from typing import Any

from reedit.report.rows.reported import ReportedLine, read_reported

RESOURCES = Path(__file__).parents[1] / "resources"
NAMES: dict[str, dict[str, str]] = {"models": {}, "datasets": {}, "methods": {}}


def reported_lines() -> list[ReportedLine]:
    return read_reported(RESOURCES / "reported.csv", RESOURCES / "reported-slips.yaml")


def as_measured(lines: list[ReportedLine], protocol: str = "released", **columns: Any) -> dict[int, list]:
    """Rows of "table" by table number; `columns` overrides what every line has (its dataset, its method)."""
    tables: dict[int, list] = {line.table: [] for line in lines}
    for row, line in enumerate(lines):
        common = {
            "row": row,
            "model": line.model,
            "dataset": line.dataset,
            "format": line.dataset,
            "method": line.method,
            "algorithm": line.method.split("_")[-1],
            "assisted": line.method.startswith("na"),
            "prefixed": line.method.startswith("nap"),
            "protocol": protocol,
            "k": line.k,
            "k_min": columns.get("k", line.k),
            "role": line.role,
            "collapsed": False,
            "edits": line.edits,
            "trials": 3,
            "spread": None,
            "low": None,
            "high": None,
        }
        for measure, value in line.values.items():
            if line.k == 0 and measure == "ppl_edited":  # as a line of a table reads it
                measure = "ppl_initial"
            tables[line.table].append(common | columns | {"measure": measure, "mean": value})
    return tables
