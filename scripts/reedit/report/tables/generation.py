"""Generation beside teacher forcing in print."""

from collections.abc import Callable, Sequence
from itertools import chain, pairwise

from reedit.evaluate.answers import NEW_TOKENS
from reedit.evaluate.measures import METRICS
from reedit.report.rows.generation import DISAGREEMENTS, GENERATED, MEASURES
from reedit.report.rows.table_lines import Line, blocks
from reedit.report.tables.blocks import (
    LEADING,
    Printed,
    algo,
    families,
    name_parts,
    names,
    protocol_count,
    raw_lines,
)
from reedit.report.tables.notes import MARKS
from reedit.report.tables.sheet import Block, Column, Grid, K, Row, Sheet, Style, Table, group
from reedit.report.words import Labels, share

HEADS = {  # kind -> what stands above it
    "accuracy": "Forced",
    "exact": "Exact",
    "contains": "Contains",
    "exact_differs": "≠ exact",
    "contains_differs": "≠ cont.",
}
MARKED_K = Column(K, lambda printed: f"{printed.line.k_text}{MARKS.get(printed.line.role, '')}")


class GenerationTable(Table):
    """A line a method and k; a column a metric and kind, in the terminal a column for several kinds."""

    def grids(self, rows: Sequence[Row], style: Style) -> list[Grid]:
        return [
            _grid(
                [*LEADING, MARKED_K, *(_column(metric, kind) for metric in METRICS for kind in HEADS)],
                rows,
                style,
            )
        ]

    def terminal(self, rows: Sequence[Row], style: Style) -> Sheet:
        said = [Column(metric.capitalize(), _joined(metric, ("accuracy", *GENERATED))) for metric in METRICS]
        differs = [Column(f"≠ {metric}", _joined(metric, DISAGREEMENTS)) for metric in METRICS]
        legend = ["Columns: forced / exact / contains; ≠ exact / ≠ contains.", *self.legend(rows)]
        legend.append("The .csv holds spreads over trials and 95 % bootstrap intervals over cases.")
        return Sheet([_grid([*LEADING, MARKED_K, *said, *differs], rows, style)], legend)

    def raw(self, rows: Sequence[Row], labels: Labels) -> tuple[Sequence[str], Sequence[Row]]:
        return raw_lines(rows, labels, MEASURES)


GENERATION = GenerationTable(
    name="generation",
    title="What models say by themselves: greedy generation beside teacher forcing.",
    schema="table",
    empty="Nothing was generated: this experiment has edited nothing.",
    size="tight",
    reading=(
        "Percent, mean over a case's prompts, over cases, then over trials. Forced: accuracy under teacher"
        " forcing, the share of the answer's tokens that are the argmax, each after those before it. Exact,"
        f" contains: the model is given the prompt alone and says at most {NEW_TOKENS} tokens, each the most"
        " likely one; the first words are the answer's, or its words stand anywhere.",
        "≠: the share of prompts on which teacher forcing and generation disagree: every token of the"
        " answer is the argmax, but the text is not exact (does not contain the answer), or the other way"
        " round.",
        "Specificity: teacher forcing asks for what the unedited model says, generation for the neighbor's"
        " own object; where neighbors were not filtered (eligible), they disagree before any edit.",
    ),
)


def _grid(columns: Sequence[Column], rows: Sequence[Row], style: Style) -> Grid:
    return Grid(columns, [Block([group(columns, _printed(block, style.labels))]) for block in blocks(rows)])


def _printed(block: Sequence[Line], labels: Labels) -> list[Printed]:
    """The lines of a block with their names, each method's said once."""
    column = names(name_parts(block[0], labels, edits=True), [len(family) for family in families(block)])
    algos = [algo(line, protocol_count(block), labels) for line in block]
    return [
        Printed(name, "" if method == before else method, (line,))
        for name, (before, method), line in zip(column, pairwise(chain([""], algos)), block, strict=True)
    ]


def _column(metric: str, kind: str) -> Column:
    return Column(HEADS[kind], _share_of(f"{metric}_{kind}"), over=(metric.capitalize(),))


def _share_of(measure: str) -> Callable[[Printed], str]:
    return lambda printed: share(printed.line.get(measure))


def _joined(metric: str, kinds: Sequence[str]) -> Callable[[Printed], str]:
    """Several kinds of a metric in one cell."""
    cells = [_share_of(f"{metric}_{kind}") for kind in kinds]
    return lambda printed: " / ".join(cell(printed) or "-" for cell in cells)
