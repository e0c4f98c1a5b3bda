"""Sequential editing along the way in print."""

from collections.abc import Sequence
from dataclasses import replace
from functools import partial

from markupsafe import Markup

from reedit.evaluate.measures import METRICS
from reedit.report.rows.along import ENDS, NO_CHECKPOINTS
from reedit.report.tables.fluency import HUNDREDFOLD
from reedit.report.tables.sheet import Cell, Column, Grid, Row, Style, Table, share_cell
from reedit.report.words import perplexity
from reedit.storage.schemas import EXACT, TOLD

OVER = {"every": "All so far", "first": "The first batch"}
BESIDE = {name: name.capitalize() for name in TOLD}  # columns of what was measured on request
BESIDE |= {name: name.replace("_", ", ").capitalize() for name in EXACT}
OWN_ANSWERS = "Exact: what the model answers by itself begins with the answer, in percent."
LEADING = (
    Column("Model", "{model}, {dataset}".format_map, align="l", once=("model", "dataset")),
    Column("Algo", "method", align="l", once=("model", "dataset", "method")),
    Column("Edits", lambda row: str(row["after"])),
)


class AlongTable(Table):
    """A line a method and number of edits."""

    def grids(self, rows: Sequence[Row], style: Style) -> list[Grid]:
        share = partial(_share, interval=style.intervals)
        columns = list(LEADING)
        for which, over in OVER.items():
            for metric in METRICS:
                name = metric.capitalize()
                head = Cell(f"{name}, {over.lower()}", tex=Markup(name))
                columns.append(Column(head, partial(share, name=f"{which}_{metric}_accuracy"), over=(over,)))
        columns.append(Column("ME-PPL", lambda row: perplexity(row["me_ppl"])))
        columns += [Column(BESIDE[name], partial(share, name=name)) for name in _known(rows)]
        return Table.grids(replace(self, columns=columns), rows, style)

    def legend(self, rows: Sequence[Row]) -> list[str]:
        known = _known(rows)
        told, said = (any(name in known for name in names) for names in (TOLD, EXACT))
        return [*super().legend(rows), *[HUNDREDFOLD] * told, *[OWN_ANSWERS] * said]


def _known(rows: Sequence[Row]) -> list[str]:
    """Which of the columns of BESIDE were measured."""
    return [name for name in BESIDE if any(row[name] is not None for row in rows)]


def _share(row: Row, name: str, interval: bool) -> Cell:
    return share_cell(*(row[f"{name}{end}"] for end in ENDS), interval)


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
