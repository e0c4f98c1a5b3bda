"""The comparison in print: one table beside each of ours.

A printed line shows the paper's numbers, under them those of each run that stands for the line, marked by
verdict, and where some of them differ, by how much.
"""

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from operator import itemgetter

from markupsafe import Markup

from reedit.report.rows.comparison import Row
from reedit.report.rows.groups import grouped
from reedit.report.rows.reported import IDENTITY, MEASURES
from reedit.report.tables.notes import RANGE, listed, no_notes
from reedit.report.tables.sheet import Block, Cell, Column, Grid, K, Sheet, Style, Table, consecutive, group
from reedit.report.words import Labels, k_text, percent, perplexity
from reedit.storage import schemas

MARKS = {"agrees": "=", "within interval": "≈", "differs": "×", "slip": "†"}
NAMES = {  # as the paper spells them
    "gpt2-xl": "GPT-2 XL",
    "gpt-j-6b": "GPT-J",
    "llama-2-7b": "Llama-2",
    "counterfact": "CounterFact",
    "zsre": "ZsRE",
    "unedited": "Unedited",
}
PERPLEXITIES = {
    "me_ppl": Cell("ME-PPL"),
    "ppl_target": Cell("p optimized", tex=Markup(r"$p(\theta_k,\bar{h})$")),
    "ppl_edited": Cell("p edited", tex=Markup(r"$p(\theta_{k+1},\hat{h})$")),
    "delta_p": Cell("abs Δp", tex=Markup(r"$|\Delta p_k|$")),
    "delta_p2": Cell("Δp2", tex=Markup(r"$\Delta_{p2}$")),
}
LEGEND = (
    "= agrees: equal within the paper's rounding (shares: half a percentage point, since every trial was"
    " rounded to whole percents; perplexities: half of the last printed digit), a score"
    " within what that rounding of its three parts can make of it.",
    "≈ within interval: the reported number lies in the measured 95 % bootstrap interval, of perplexities"
    " within two spreads over the trials, either widened by that rounding.",
    "× differs: neither; measured minus reported stands below, shares in percentage points.",
    "† a known slip of the paper or of its transcription (resources/reported-slips.yaml), not matched.",
)
CHOSEN = "Chosen iterations meet by what they were chosen for, not by k: each number stands beside its own k."


class ComparisonTable(Table):
    """One of the paper's tables beside ours; of the rows of all, those with its number."""

    def grids(self, rows: Sequence[Row], style: Style) -> list[Grid]:
        rows = self._own(rows)
        reported = {row["measure"] for row in rows if row["reported"] is not None}
        measures = [measure for measure in MEASURES if measure in reported]
        columns = [
            Column("Algo", "method", align="l"),
            Column("Source", "source", align="l"),
            Column(K, "k"),
            *map(_column, measures),
        ]
        blocks = []
        for block in consecutive(rows, ["model", "dataset", "edits"]):
            lines = [line for line in consecutive(block, ["method", "role", "k"]) if _measured(line)]
            if lines:
                first = block[0]
                title = f"{named(first['model'])}, {named(first['dataset'])}, {first['edits']} edits"
                blocks.append(Block([group(columns, _sources(line)) for line in lines], title))
        return [Grid(columns, blocks)] if blocks else []

    def sheet(self, rows: Sequence[Row], style: Style) -> Sheet:
        grids = self.grids(rows, style)
        return Sheet(grids, self.legend(rows), ["verdicts"]) if grids else Sheet()

    def terminal(self, rows: Sequence[Row], style: Style) -> Sheet:
        grids = self.grids(rows, style)
        return Sheet(grids, [*LEGEND, *self.legend(rows)]) if grids else Sheet()

    def legend(self, rows: Sequence[Row]) -> list[str]:
        """What a reader of one table's comparison has to know."""
        rows = self._own(rows)
        notes = [CHOSEN] if any(row["table"] <= 4 for row in rows) else []
        notes += [RANGE] * any(row["run_k"] is not None and row["run_k_min"] < row["run_k"] for row in rows)
        reported = grouped((row for row in rows if row["k"] is not None), itemgetter(*IDENTITY)).values()
        left = sum(all(row["measured"] is None for row in line) for line in reported)
        if left:
            notes.append(f"{left} of {len(reported)} reported lines were not measured and are left out here.")
        edits = {(row["run_edits"], row["edits"]) for row in rows if row["run_edits"] and row["edits"]}
        other = listed(sorted(mine for mine, theirs in edits if mine != theirs))
        if other:
            notes.append(f"Runs of {other} edits stand for the paper's number, named with each model.")
        return notes

    def raw(self, rows: Sequence[Row], labels: Labels) -> tuple[Sequence[str], Sequence[Row]]:
        return schemas.SCHEMAS["comparison"].names, self._own(rows)

    def _own(self, rows: Sequence[Row]) -> list[Row]:
        return [row for row in rows if f"comparison{row['table']}" == self.name]


def comparison_table(number: str) -> ComparisonTable:
    """The table beside one of the paper's."""
    return ComparisonTable(
        name=f"comparison{number}",
        summary="comparison",
        title=f"Table {number}, reported and measured",
        schema="comparison",
        empty="Nothing in this experiment stands for a line of it in the paper.",
        omitted=True,
        produced_by=no_notes,  # the table that it follows says so
        size="small",
    )


def text_of(row: Row, column: str) -> str:
    """A number of a row: shares in percent without its sign, perplexities as the paper prints them."""
    value = row[column]
    sign = "+" if column == "difference" and value > 0 else ""
    if row["measure"] in schemas.MEASURES:
        return sign + percent(value, sign="")
    exponential = row["tolerance"] is not None and row["tolerance"] > 0.005  # so the paper prints this one
    if exponential and math.isfinite(value):
        return f"{sign}{value:.2E}"
    return sign + perplexity(value).replace("inf", "∞")


def named(name: str) -> str:
    """A model, dataset or method as the paper spells it."""
    return NAMES.get(name, name.upper())


def measure_cell(measure: str) -> Cell:
    """A measure by its name, in TeX by its symbol."""
    return PERPLEXITIES.get(measure, Cell(measure.replace("_", " ")))


def _measured(line: Sequence[Row]) -> bool:
    """Whether something was measured of a line that the paper has."""
    return line[0]["k"] is not None and any(row["measured"] is not None for row in line)


def _column(measure: str) -> Column:
    """In TeX a share stands under its metric."""
    metric, _, kind = measure.partition("_")
    share = measure in schemas.MEASURES
    head = Cell(measure_cell(measure).text, tex=kind) if share else measure_cell(measure)
    over = (metric.capitalize(),) if share else ()
    return Column(head, lambda line: line.get(measure), over=over, aside="0.9em")


def _sources(line: Sequence[Row]) -> list[dict[str, Cell | str]]:
    """A line's numbers: the paper's, then for each run its own and, where some differ, the differences.

    The method is said once, above them.
    """
    runs = [{row["measure"]: row for row in members} for members in consecutive(line, ["run", "protocol"])]
    first = [next(iter(run.values())) for run in runs]
    protocols = Counter(run["protocol"] for run in first)
    found = [_source("paper", str(first[0]["k"]), runs[0], "reported")]
    found[0]["method"] = named(first[0]["method"])
    for run, one in zip(runs, first, strict=True):
        if one["run_k"] is None:
            continue
        name = one["protocol"] if protocols[one["protocol"]] == 1 else f"{one['protocol']} {one['run']}"
        found.append(_source(name, k_text(one["run_k_min"], one["run_k"]), run, "measured"))
        if any(row["verdict"] == "differs" for row in run.values()):
            found.append(_source("difference", "", run, "difference"))
    return found


def _source(name: str, k: str, run: Mapping[str, Row], column: str) -> dict[str, Cell | str]:
    """A printed line with the numbers of a column, by measure.

    A measured one has a mark; a difference is told only of cells that differ.
    """
    found: dict[str, Cell | str] = {"method": "", "source": name, "k": k}
    for measure, row in run.items():
        if row[column] is None or (column == "difference" and row["verdict"] != "differs"):
            continue
        judged = column == "measured"
        mark = MARKS.get(row["verdict"], "") if judged else ""
        color = row["verdict"] if judged and row["verdict"] in ("differs", "slip") else ""
        found[measure] = Cell(text_of(row, column), aside=mark, color=color)
    return found
