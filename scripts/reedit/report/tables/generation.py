"""Generation beside teacher forcing in print."""

from collections.abc import Sequence

from reedit.evaluate.measures import METRICS
from reedit.report.rows.generation import DISAGREEMENTS, MEASURES
from reedit.report.tables.blocks import LEADING, MARKED_K, line_grid, raw_lines, shares
from reedit.report.tables.sheet import Column, Grid, Row, Sheet, Style, Table
from reedit.report.words import Labels, share

HEADS = {  # kind -> what stands above it
    "accuracy": "Forced",
    "exact": "Exact",
    "contains": "Contains",
    "judged_true": "Judged",  # where a language model does
    "exact_differs": "≠ exact",
    "contains_differs": "≠ cont.",
}


class GenerationTable(Table):
    """A line a method and k; a column a metric and kind, in the terminal a column for several kinds."""

    def grids(self, rows: Sequence[Row], style: Style) -> list[Grid]:
        return [
            line_grid(
                [*LEADING, MARKED_K, *(_column(metric, kind) for metric in METRICS for kind in _shown(rows))],
                rows,
                style,
            )
        ]

    def terminal(self, rows: Sequence[Row], style: Style) -> Sheet:
        kinds = [kind for kind in _shown(rows) if kind not in DISAGREEMENTS]
        said = [Column(metric.capitalize(), shares(metric, kinds)) for metric in METRICS]
        differs = [Column(f"≠ {metric}", shares(metric, DISAGREEMENTS)) for metric in METRICS]
        heads = " / ".join(HEADS[kind].lower() for kind in kinds)
        legend = [f"Columns: {heads}; ≠ exact / ≠ contains.", *self.legend(rows)]
        legend.append("The .csv holds spreads over trials and 95 % bootstrap intervals over cases.")
        return Sheet([line_grid([*LEADING, MARKED_K, *said, *differs], rows, style)], legend)

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
        " contains: the model is given the prompt alone, through its chat template where it has one, and"
        " speaks up to a natural stop, each token the most likely one; the first words are the answer's, or"
        " its words stand anywhere.",
        "≠: the share of prompts on which teacher forcing and generation disagree: every token of the"
        " answer is the argmax, but the text is not exact (does not contain the answer), or the other way"
        " round.",
        "Specificity: teacher forcing asks for what the unedited model says, generation for the neighbor's"
        " own object; where neighbors were not filtered (eligible), they disagree before any edit.",
    ),
)


def _shown(rows: Sequence[Row]) -> list[str]:
    """The kinds of HEADS; what is judged alone where it is not what contains says."""
    means = {
        kind: [row["mean"] for row in rows if row["measure"].endswith(f"_{kind}")]
        for kind in ("contains", "judged_true")
    }
    judged = means["judged_true"] != means["contains"]
    return [kind for kind in HEADS if judged or kind != "judged_true"]


def _column(metric: str, kind: str) -> Column:
    measure = f"{metric}_{kind}"
    return Column(HEADS[kind], lambda printed: share(printed.line.get(measure)), over=(metric.capitalize(),))
