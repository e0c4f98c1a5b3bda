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
from reedit.storage.schemas import GENERATED, TOLD

OVER = {"every": "All so far", "first": "The first batch"}
BESIDE = {name: name.capitalize() for name in TOLD}  # columns of what was measured on request
BESIDE |= {name: f"{name.partition('_')[0].capitalize()}, generated" for name in GENERATED}
OWN_ANSWERS = "Generated: what the model answers by itself begins with the answer, in percent."
LEADING = (
    Column("Model", "{model}, {dataset}".format_map, align="l", once=("model", "dataset")),
    Column("Algo", "method", align="l", once=("model", "dataset", "method")),
    Column("Edits", lambda row: str(row["after"])),
)


class AlongTable(Table):
    """A line a method and number of edits; in the terminal every accuracy with its interval."""

    def grids(self, rows: Sequence[Row], style: Style) -> list[Grid]:
        beside = [Column(BESIDE[name], _share(name, style.intervals)) for name in _known(rows)]
        columns = [*_columns(style.intervals), *beside]
        return Table.grids(replace(self, columns=columns), rows, style)

    def terminal(self, rows: Sequence[Row], style: Style) -> Sheet:
        return Sheet(self.grids(rows, replace(style, intervals=True)), self.legend(rows))

    def legend(self, rows: Sequence[Row]) -> list[str]:
        known = _known(rows)
        told, said = (any(name in known for name in names) for names in (TOLD, GENERATED))
        return [*super().legend(rows), *[HUNDREDFOLD] * told, *[OWN_ANSWERS] * said]


def _columns(intervals: bool) -> list[Column]:
    columns = list(LEADING)
    for which, over in OVER.items():
        for metric in METRICS:
            name = metric.capitalize()
            head = Cell(f"{name}, {over.lower()}", tex=Markup(name))
            columns.append(Column(head, _share(f"{which}_{metric}_accuracy", intervals), over=(over,)))
    return [*columns, Column("ME-PPL", lambda row: perplexity(row["me_ppl"]))]


def _known(rows: Sequence[Row]) -> list[str]:
    """Which of the columns of BESIDE were measured."""
    return [name for name in BESIDE if any(row[name] is not None for row in rows)]


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
        " all cases that are edited by then (0: of all of them), and of those of the first batch. Means over"
        " trials; intervals are 95 % bootstrap intervals over cases.",
    ),
)
