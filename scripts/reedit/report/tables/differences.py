"""Paired differences in print: a table in the document, plain sentences in the terminal."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from reedit.evaluate.measures import KINDS, METRICS
from reedit.report.rows.differences import SAID
from reedit.report.tables.notes import MARKS, choice_notes
from reedit.report.tables.sheet import Block, Cell, Column, Grid, Row, Sheet, Style, Table, consecutive, group
from reedit.report.words import Labels, k_text, method_of, name_of, plain, signed

SIDES = ("", "reference_")
HINDSIGHT = (
    "The k of the highest score (of accuracy, or of exact) is found by the scores it is compared by: no rule"
    " could know it, and its lead is flattered, so that none of it is bold."
)


@dataclass(frozen=True, kw_only=True)
class DifferencesTable(Table):
    """Two lines a comparison in the document, and a sentence a measure in the terminal."""

    kinds: Sequence[str] = KINDS

    def grids(self, rows: Sequence[Row], style: Style) -> list[Grid]:
        columns = [
            Column("Compared", "words", align="l"),
            Column("Pairs", "pairs"),
            Column("", "kind", align="l"),
            *(Column(name.capitalize(), _difference(name), aside="7.2em") for name in (*METRICS, "score")),
        ]
        parts = [
            Block(
                [
                    group(columns, _lines(comparison, style.labels, self.kinds))
                    for comparison in consecutive(block, ["row"])
                ],
                block_title(block[0], style.labels),
            )
            for block in blocks(rows)
        ]
        return [Grid(columns, parts)]

    def terminal(self, rows: Sequence[Row], style: Style) -> Sheet:
        lines = []
        for block in blocks(rows):
            lines += [f"{plain(block_title(block[0], style.labels))}:", ""]
            for comparison in consecutive(block, ["row"]):
                lines += [*(f"- {sentence(row, style.labels)}" for row in comparison), ""]
        return Sheet(text=lines, notes=self.legend(rows))

    def legend(self, rows: Sequence[Row]) -> list[str]:
        hindsight = [HINDSIGHT] if any(row["comparison"] == "stopping" for row in rows) else []
        return [*self.reading, *hindsight, *choice_notes(rows, SIDES)]


DIFFERENCES = DifferencesTable(
    name="differences",
    title="What iterating, neighbors and methods change: paired differences.",
    schema="differences",
    size="tight",
    empty="Nothing to compare: no method was iterated beyond its first edit, assisted by neighbors, or"
    " defined against another one.",
    reading=(
        "Differences in percentage points: mean over cases, then over trials; in brackets the 95 %"
        " interval of a bootstrap that resamples pairs, the same case on both sides. Bold: the interval"
        " excludes zero.",
    ),
)


DIFFERENCES_GENERATED = replace(
    DIFFERENCES,
    name="differences_generated",
    title="What iterating, neighbors and methods change in what models say themselves: paired differences.",
    kinds=SAID,
)


def sentence(row: Row, labels: Labels) -> str:
    """ "MEMIT, iterated to k=4 against k=1: specificity accuracy -1.2 points [-2.0, -0.4]"; bold if sure."""
    measure = row["measure"].replace("_", " ")
    if row["mean"] is None:
        return plain(f"{compared(row, labels)}: {measure} not measured")
    found = f"{measure} {signed(row['mean'])} points {_interval(row)}".strip()
    return f"{plain(compared(row, labels))}: {f'**{found}**' if excludes_zero(row) else found}"


def excludes_zero(row: Row) -> bool:
    """Whether an interval leaves no doubt about the sign; never where hindsight chose a side."""
    return row["low"] is not None and row["comparison"] != "stopping" and (row["low"] > 0 or row["high"] < 0)


def blocks(rows: Sequence[Row]) -> list[list[Row]]:
    """The rows of the same edits: of one model and dataset, and of one number."""
    return consecutive(rows, ["model", "dataset", "edits"])


def block_title(row: Row, labels: Labels) -> str:
    """What a block is of."""
    return f"{name_of(row['model'], labels)}, {name_of(row['dataset'], labels)}, {row['edits']} edits"


def compared(row: Row, labels: Labels) -> str:
    """What a row compares, in words."""
    method, reference = (method_of(row[name], labels) for name in ("method", "reference"))
    k, reference_k = (
        f"k={k_text(row[side + 'k_min'], row[side + 'k'])}{MARKS.get(row[side + 'role'], '')}"
        for side in SIDES
    )
    if row["comparison"] == "iteration":
        return f"{method}, iterated to {k} against {reference_k}"
    if row["comparison"] == "stopping":
        return f"{method}, stopped at {k} against {reference_k} of the highest score"
    return f"{method} at {k} against {reference} at {reference_k}"


def _lines(comparison: Sequence[Row], labels: Labels, kinds: Sequence[str]) -> list[dict[str, Any]]:
    """A comparison's lines, one a kind, with the rows of all measures; the first says what is compared."""
    rows = {row["measure"]: row for row in comparison}
    lines: list[dict[str, Any]] = [{"words": "", "pairs": "", "kind": kind, **rows} for kind in kinds]
    lines[0] |= {"words": compared(comparison[0], labels), "pairs": comparison[0]["pairs"]}
    return lines


def _difference(metric: str) -> Callable[[Row], Cell]:
    def cell(line: Row) -> Cell:
        row = line[f"{metric}_{line['kind']}"]
        text = "" if row["mean"] is None else signed(row["mean"])
        texts = (said.replace("-", "−") for said in (text, _interval(row)))
        return Cell(next(texts), aside=next(texts), bold=excludes_zero(row))

    return cell


def _interval(row: Row) -> str:
    """ "[-2.0, -0.4]", or an empty string."""
    if row["low"] is None:
        return ""
    return f"[{', '.join(signed(row[bound]).removeprefix('+') for bound in ('low', 'high'))}]"
