"""Generation beside teacher forcing in print: .tex for the document, raw .csv, .md for the terminal."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from reedit.evaluate.answers import NEW_TOKENS
from reedit.evaluate.measures import METRICS
from reedit.report.latex.typeset import percent, render
from reedit.report.rows.generation import DISAGREEMENTS, GENERATED, MEASURES
from reedit.report.tables import blocks as layout
from reedit.report.tables.blocks import RANGE, Line, algo, name_parts, names
from reedit.report.tables.paper_sheet import table_csv
from reedit.report.tables.render import aligned, bullets

TITLE = "What models say by themselves: greedy generation beside teacher forcing"
EMPTY = "Nothing was generated: this experiment has edited nothing."
HEADS = {  # kind -> what stands above it
    "accuracy": "Forced",
    "exact": "Exact",
    "contains": "Contains",
    "exact_differs": "≠ exact",
    "contains_differs": "≠ cont.",
}
READING = [
    "Percent, mean over a case's prompts, over cases, then over trials. Forced: accuracy under teacher"
    " forcing, the share of the answer's tokens that are the argmax, each after those before it. Exact,"
    f" contains: the model is given the prompt alone and says at most {NEW_TOKENS} tokens, each the most"
    " likely one; the first words are the answer's, or its words stand anywhere.",
    "≠: the share of prompts on which teacher forcing and generation disagree: every token of the"
    " answer is the argmax, but the text is not exact (does not contain the answer), or the other way"
    " round.",
    "Specificity: teacher forcing asks for what the unedited model says, generation for the neighbor's"
    " own object; where neighbors were not filtered (eligible), they disagree before any edit.",
]
LAST = {
    "last": "† the criterion abs Δp <= 1 was not met: the last iteration.",
    "unjudged": "‡ abs Δp was not measured: the last iteration.",
}
MARKS = {role: words[0] for role, words in LAST.items()}
Row = Mapping[str, Any]
Labels = Mapping[str, str]


def generation_tex(
    rows: Sequence[Row],
    templates: str | Path | Sequence[str | Path],
    notes: Sequence[str] = (),
    labels: Labels | None = None,
) -> str:
    """The table as TeX for \\input, a line a method and k, block by block.

    `rows` are of schema "table", with the measures of generation_summary; `templates` are the template
    files, among them generation.tex.j2; `labels` gives a model, dataset or method another name.
    """
    blocks = [
        [line[:3] + [cell for kinds in line[3:] for cell in kinds] for line in block]
        for block in _printed(rows, labels or {})
    ]
    metrics = [metric.capitalize() for metric in METRICS]
    values = {"title": TITLE, "metrics": metrics, "heads": list(HEADS.values()), "blocks": blocks}
    values |= {"empty": EMPTY, "notes_below": [*_legend(rows), *notes]}
    return render(templates, "generation.tex.j2", values)


def generation_csv(rows: Sequence[Row], labels: Labels | None = None) -> str:
    """The unrounded numbers as fractions, each with its spread and interval; exact_match as well."""
    return table_csv(rows, labels, MEASURES)


def generation_md(rows: Sequence[Row], notes: Sequence[str] = (), labels: Labels | None = None) -> str:
    """The same lines as aligned Markdown: forced / exact / contains, then where they disagree."""
    blocks = _printed(rows, labels or {})
    if not blocks:
        return "\n".join([f"{TITLE}.", "", EMPTY, "", *bullets(notes), ""])
    metrics = [metric.capitalize() for metric in METRICS]
    grid = [["Model", "Algo", "k", *metrics, *(f"≠ {metric}" for metric in METRICS)]]
    for line in (line for block in blocks for line in block):
        said = [_joined(kinds[: 1 + len(GENERATED)]) for kinds in line[3:]]
        differs = [_joined(kinds[-len(DISAGREEMENTS) :]) for kinds in line[3:]]
        grid.append([*line[:3], *said, *differs])
    legend = ["Columns: forced / exact / contains; ≠ exact / ≠ contains.", *_legend(rows)]
    legend.append("The .csv holds spreads over trials and 95 % bootstrap intervals over cases.")
    return "\n".join([f"{TITLE}.", "", *aligned(grid), "", *bullets([*legend, *notes]), ""])


def _printed(rows: Sequence[Row], labels: Labels) -> list[list[list[Any]]]:
    """The lines of every block: model, algorithm, k, and for each metric the cells of HEADS."""
    blocks = []
    for block in layout.blocks(rows):
        families = layout.families(block)
        column = names(name_parts(block[0], labels, edits=True), [len(family) for family in families])
        protocols, before, printed = layout.protocol_count(block), "", []
        for name, line in zip(column, block, strict=True):
            method = algo(line, protocols, labels)
            cells = [[_cell(line, f"{metric}_{kind}") for kind in HEADS] for metric in METRICS]
            printed.append(
                [name, "" if method == before else method, f"{line.k_text}{MARKS.get(line.role, '')}", *cells]
            )
            before = method
        blocks.append(printed)
    return blocks


def _cell(line: Line, measure: str) -> str:
    return percent(line.get(measure), 1, sign="")


def _joined(cells: Sequence[str]) -> str:
    return " / ".join(cell or "-" for cell in cells)


def _legend(rows: Sequence[Row]) -> list[str]:
    roles = {row["role"] for row in rows}
    last = [words for role, words in LAST.items() if role in roles]
    return READING * bool(rows) + last + [RANGE] * any(row["k_min"] < row["k"] for row in rows)
