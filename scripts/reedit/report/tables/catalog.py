"""The tables that stand beside the paper's: from which rows each is made, and how it is printed.

To add one, add an entry here, a rule that makes results/summary/{name}.parquet, and a template {name}.tex.j2.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from reedit.report.tables.differences import differences_csv, differences_md, differences_tex
from reedit.report.tables.generation import generation_csv, generation_md, generation_tex
from reedit.report.tables.norms import norms_csv, norms_md, norms_tex

Rows = Sequence[Mapping[str, Any]]
Labels = Mapping[str, str]
Notes = Sequence[str]


@dataclass(frozen=True)
class Summary:
    """One table: the `schema` of its rows, and its text in three formats."""

    schema: str
    tex: Callable[[Rows, Sequence[str], Notes, Labels], str]
    csv: Callable[[Rows, Labels], str]
    md: Callable[[Rows, Notes, Labels], str]


SUMMARIES: Mapping[str, Summary] = {
    "differences": Summary(
        "differences", differences_tex, lambda rows, labels: differences_csv(rows), differences_md
    ),
    "generation": Summary("table", generation_tex, generation_csv, generation_md),
    "norms": Summary("norm_summary", norms_tex, lambda rows, labels: norms_csv(rows), norms_md),
}
