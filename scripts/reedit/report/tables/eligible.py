"""The cases that pass the neighbor filter here beside those of a published list, in print."""

from collections.abc import Mapping
from typing import Any

from reedit.report.tables.sheet import Column, Table
from reedit.report.words import Labels


class EligibleTable(Table):
    """It counts what was filtered; nothing was edited for it."""

    def produced_by(self, made_by: Mapping[str, Any], labels: Labels) -> list[str]:
        return []


ELIGIBLE = EligibleTable(
    name="eligible",
    title="Cases that pass the neighbor filter: run anew, and as published.",
    schema="eligible",
    columns=(
        Column("Model", "model", align="l"),
        Column("pool", "cases"),
        Column("eligible anew", "eligible"),
        Column("published", "published"),
        Column("in both", "both"),
        Column("only anew", "only_anew"),
        Column("only published", "only_published"),
        Column("not in the pool", "not_in_pool"),
    ),
    left=1,
    reading=(
        "A case is eligible with at least two neighbors whose object the unedited model says at every token;"
        " cases are told apart by subject, prompt and new object.",
    ),
)
