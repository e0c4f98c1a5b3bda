"""Fluency and consistency of what models go on with in print."""

from collections.abc import Sequence
from functools import partial

from reedit.report.tables.blocks import LEADING, MARKED_K, Printed, line_grid, raw_lines
from reedit.report.tables.sheet import Cell, Column, Grid, Row, Style, Table, share_cell
from reedit.report.words import Labels
from reedit.storage.schemas import TOLD


class FluencyTable(Table):
    """A line a method and k."""

    def grids(self, rows: Sequence[Row], style: Style) -> list[Grid]:
        cell = partial(_hundredfold, interval=style.intervals)
        told = [Column(name.capitalize(), partial(cell, name=name)) for name in TOLD]
        return [line_grid([*LEADING, MARKED_K, *told], rows, style)]

    def raw(self, rows: Sequence[Row], labels: Labels) -> tuple[Sequence[str], Sequence[Row]]:
        return raw_lines(rows, labels, TOLD)


def _hundredfold(printed: Printed, name: str, interval: bool) -> Cell:
    """A measure times 100, as the field prints it."""
    return share_cell(*(printed.line.get(name, which) for which in ("mean", "low", "high")), interval)


HUNDREDFOLD = (
    "Fluency: the entropy, in bits, of the pairs and triples of words in what a model goes on with."
    " Consistency: the cosine of its TF-IDF vector and that of reference texts. Both are printed times 100."
)
FLUENCY = FluencyTable(
    name="fluency",
    title="What models go on with: fluency, and consistency with reference texts.",
    schema="table",
    empty="No text was made: this experiment has edited nothing.",
    reading=(
        HUNDREDFOLD,
        "Means over a case's texts (consistency: of all its texts as one), over cases, then over trials;"
        " intervals are 95 % bootstrap intervals over cases. Consistency is empty where no reference texts"
        " are given.",
    ),
)
