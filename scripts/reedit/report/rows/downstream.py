"""What the downstream tasks say of each edited model beside the unedited one."""

from collections.abc import Mapping, Sequence
from typing import Any

IDENTITY = ("model", "dataset", "method", "trial", "k")


def downstream_rows(
    run: Mapping[str, Any], edited: Sequence[Mapping[str, Any]], unedited: Sequence[Mapping[str, Any]]
) -> list[dict[str, Any]]:
    """A row of schema "downstream_summary" for each task and metric of a run, and for each checkpoint.

    `run`: its IDENTITY.
    """
    before = {(row["task"], row["metric"]): row["value"] for row in unedited}
    rows = []
    for row in edited:
        value = before.get((row["task"], row["metric"]))
        rows.append(
            {name: run[name] for name in IDENTITY}
            | {name: row[name] for name in ("task", "metric", "documents", "stderr", "after")}
            | {"unedited": value, "edited": row["value"]}
            | {"difference": None if value is None else row["value"] - value}
        )
    return rows
