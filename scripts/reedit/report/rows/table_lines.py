"""The lines of a table, read back from its rows (schema "table": one row per line and measure)."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from itertools import groupby
from typing import Any

from reedit.report.words import k_text

STATISTICS = ("mean", "spread", "low", "high")
BY_DEFINITION = ("specificity_accuracy", "score_accuracy")  # of the unedited model: no measurement


@dataclass(frozen=True)
class Line:
    """One line of a table: who, at which k (the largest and the smallest of its trials'), and the statistics
    of each measure."""

    row: int
    model: str
    dataset: str
    format: str
    method: str
    algorithm: str
    assisted: bool
    prefixed: bool
    protocol: str
    k: int
    k_min: int
    role: str
    collapsed: bool
    edits: int
    trials: int
    values: dict[str, dict[str, float | None]]  # measure -> statistic -> value

    @property
    def block(self) -> tuple[str, str, int]:
        """What the lines under one unedited model have in common."""
        return self.model, self.dataset, self.edits

    @property
    def k_text(self) -> str:
        """Its k in print."""
        return k_text(self.k_min, self.k)

    def get(self, measure: str, statistic: str = "mean") -> float | None:
        """A statistic of a measure, None where it was not measured or is true by definition."""
        if self.k == 0 and measure in BY_DEFINITION:
            return None
        return self.values.get(measure, {}).get(statistic)

    def printed(self, measure: str, statistic: str = "mean") -> float | None:
        """The same for the column of a measure: the unedited model, which was not edited, has under p edited
        what the first iteration starts from, p(theta_1, h)."""
        starts = self.k == 0 and measure == "ppl_edited"
        return self.get("ppl_initial" if starts else measure, statistic)


SHARED = tuple(field.name for field in fields(Line) if field.name not in ("row", "values"))


def blocks(rows: Sequence[Mapping[str, Any]]) -> list[list[Line]]:
    """The lines of a table, block by block."""
    lines = []
    for number, group in groupby(rows, key=lambda row: row["row"]):
        members = list(group)
        values = {row["measure"]: {name: row[name] for name in STATISTICS} for row in members}
        lines.append(Line(row=number, **{name: members[0][name] for name in SHARED}, values=values))
    return [list(block) for _, block in groupby(lines, key=lambda line: line.block)]
