"""The lines of a table, read back from its rows (schema "table": one row per line and measure)."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Any

from reedit.report.rows.lines import Edited
from reedit.report.words import k_text
from reedit.storage.schemas import SCHEMAS

STATISTICS = ("mean", "spread", "low", "high")
SHARED = tuple(n for n in SCHEMAS["table"].names if n not in ("row", "measure", *STATISTICS))  # of a line
BY_DEFINITION = ("specificity_accuracy", "score_accuracy")  # of the unedited model: no measurement


@dataclass(frozen=True)
class Line(Edited):
    """One line of a table: who, at which k (the largest and the smallest of its trials'), and the statistics
    of each measure."""

    row: int
    k: int
    k_min: int
    role: str
    collapsed: bool
    trials: int
    values: dict[str, dict[str, float | None]]  # measure -> statistic -> value

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


def blocks(rows: Sequence[Mapping[str, Any]]) -> list[list[Line]]:
    """The lines of a table, block by block."""
    lines = []
    for number, group in groupby(rows, key=lambda row: row["row"]):
        members = list(group)
        values = {row["measure"]: {name: row[name] for name in STATISTICS} for row in members}
        lines.append(Line(row=number, **{name: members[0][name] for name in SHARED}, values=values))
    return [list(block) for _, block in groupby(lines, key=lambda line: line.block)]
