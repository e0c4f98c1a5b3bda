"""Sequential editing along the way in print."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

from markupsafe import Markup

from reedit.evaluate.measures import METRICS
from reedit.report.rows.along import NO_CHECKPOINTS
from reedit.report.tables.fluency import HUNDREDFOLD
from reedit.report.tables.sheet import Cell, Column, Grid, Row, Sheet, Style, Table
from reedit.report.words import perplexity, share
from reedit.storage.schemas import TOLD

OVER = {"every": "All so far", "first": "The first"}
LEADING = (
    Column("Model", "{model}, {dataset}".format_map, align="l", once=("model", "dataset")),
    Column("Algo", "method", align="l", once=("model", "dataset", "method")),
    Column("Edits", lambda row: str(row["after"])),
)


class AlongTable(Table):
    """A line a method and number of edits; in the terminal every accuracy with its interval."""

    def grids(self, rows: Sequence[Row], style: Style) -> list[Grid]:
        columns = [*_columns(style.intervals), *_told(rows, style.intervals)]
        return Table.grids(replace(self, columns=columns), rows, style)

    def terminal(self, rows: Sequence[Row], style: Style) -> Sheet:
        return Sheet(self.grids(rows, replace(style, intervals=True)), self.legend(rows))

    def legend(self, rows: Sequence[Row]) -> list[str]:
        return [*super().legend(rows), *[HUNDREDFOLD] * bool(_told(rows, False))]


def _columns(intervals: bool) -> list[Column]:
    columns = list(LEADING)
    for which, over in OVER.items():
        for metric in METRICS:
            name = metric.capitalize()
            head = Cell(f"{name}, {over.lower()}", tex=Markup(name))
            columns.append(Column(head, _share(f"{which}_{metric}_accuracy", intervals), over=(over,)))
    return [*columns, Column("ME-PPL", lambda row: perplexity(row["me_ppl"]))]


def _told(rows: Sequence[Row], intervals: bool) -> list[Column]:
    """Fluency and consistency, as far as they were measured, times 100."""
    known = [name for name in TOLD if any(row[name] is not None for row in rows)]
    return [Column(name.capitalize(), _share(name, intervals)) for name in known]


def _share(name: str, interval: bool) -> Callable[[Any], Cell]:
    """A share, with its interval where that is known."""

    def cell(row: Any) -> Cell:
        low, high = (share(row[f"{name}_{end}"]) for end in ("low", "high"))
        return Cell(share(row[name]), aside=f"[{low}, {high}]" if interval and low else "")

    return cell


ALONG = AlongTable(
    name="along",
    title="Along the way: what is left of the edits, and of the model, as batch follows batch.",
    schema="along",
    empty=NO_CHECKPOINTS,
    group=("model", "dataset", "method"),
    size="tight",
    reading=(
        "Edits: written by then, in the last iteration; 0 is the unedited model. Accuracies in percent: of"
        " all cases that are edited by then (0: of all of them), and of the first ones, those that the first"
        " checkpoint has. Means over trials; intervals are 95 % bootstrap intervals over cases.",
    ),
)
