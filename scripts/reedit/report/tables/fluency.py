"""Fluency and consistency of what models go on with in print."""

from collections.abc import Callable, Sequence
from dataclasses import replace

from reedit.report.tables.blocks import LEADING, MARKED_K, Printed, line_grid, raw_lines
from reedit.report.tables.sheet import Cell, Column, Grid, Row, Sheet, Style, Table
from reedit.report.words import Labels, share
from reedit.storage.schemas import TOLD


class FluencyTable(Table):
    """A line a method and k; in the terminal with intervals."""

    def grids(self, rows: Sequence[Row], style: Style) -> list[Grid]:
        told = [Column(name.capitalize(), _hundredfold(name, style.intervals)) for name in TOLD]
        return [line_grid([*LEADING, MARKED_K, *told], rows, style)]

    def terminal(self, rows: Sequence[Row], style: Style) -> Sheet:
        return Sheet(self.grids(rows, replace(style, intervals=True)), self.legend(rows))

    def raw(self, rows: Sequence[Row], labels: Labels) -> tuple[Sequence[str], Sequence[Row]]:
        return raw_lines(rows, labels, TOLD)


def _hundredfold(name: str, interval: bool) -> Callable[[Printed], Cell]:
    """A measure times 100, as the field prints it, with its interval where that is known."""

    def cell(printed: Printed) -> Cell:
        value, low, high = (share(printed.line.get(name, which)) for which in ("mean", "low", "high"))
        return Cell(value, aside=f"[{low}, {high}]" if interval and low else "")

    return cell


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
