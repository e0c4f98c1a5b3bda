"""The printed lines of a table: their order and names, what is compared with what, what is bold."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from itertools import accumulate, groupby, zip_longest
from typing import Any

from reedit.report.latex.typeset import half_up, k_text
from reedit.storage.schemas import MEASURES

STATISTICS = ("mean", "spread", "low", "high")
RANGE = (  # said where a line has several k
    "A range of k: each trial is a run of its own and stands where the rule stops it; at its last iteration"
    " where the rule never does, or where the line is of an iteration that it did not reach."
)
BY_DEFINITION = ("specificity_accuracy", "score_accuracy")  # of the unedited model: no measurement


@dataclass(frozen=True)
class Line:
    """One line of a table: who, at which k (the largest and the smallest of its trials'), and the statistics
    of each measure."""

    row: int
    model: str
    dataset: str
    format: str
    method: str
    algorithm: str
    assisted: bool
    prefixed: bool
    protocol: str
    k: int
    k_min: int
    role: str
    collapsed: bool
    edits: int
    trials: int
    values: dict[str, dict[str, float | None]]  # measure -> statistic -> value

    @property
    def block(self) -> tuple[str, str, int]:
        """What the lines under one unedited model have in common."""
        return self.model, self.dataset, self.edits

    @property
    def k_text(self) -> str:
        """Its k in print."""
        return k_text(self.k_min, self.k)

    def get(self, measure: str, statistic: str = "mean") -> float | None:
        """A statistic of a measure, None where it was not measured or is true by definition."""
        if self.k == 0 and measure in BY_DEFINITION:
            return None
        return self.values.get(measure, {}).get(statistic)

    def printed(self, measure: str, statistic: str = "mean") -> float | None:
        """The same for the column of a measure: the unedited model, which was not edited, has under p edited
        what the first iteration starts from, p(theta_1, h)."""
        starts = self.k == 0 and measure == "ppl_edited"
        return self.get("ppl_initial" if starts else measure, statistic)


SHARED = tuple(field.name for field in fields(Line) if field.name not in ("row", "values"))
Block = list[list[tuple[Line | None, ...]]]  # groups of printed lines, each with one Line a dataset


@dataclass(frozen=True)
class Panel:
    """Blocks that stand under one head; `datasets` has one unnamed where they are not side by side."""

    datasets: tuple[str, ...]
    blocks: list[Block]


def blocks(rows: Sequence[Mapping[str, Any]]) -> list[list[Line]]:
    """The lines of a table from its rows (schema "table", one row per line and measure), block by block."""
    lines = []
    for number, group in groupby(rows, key=lambda row: row["row"]):
        members = list(group)
        values = {row["measure"]: {name: row[name] for name in STATISTICS} for row in members}
        lines.append(Line(row=number, **{name: members[0][name] for name in SHARED}, values=values))
    return [list(block) for _, block in groupby(lines, key=lambda line: line.block)]


def families(block: Sequence[Line]) -> list[list[Line]]:
    """The lines of a block that are compared: k of one method, or a method and its assisted ones."""
    result: list[list[Line]] = []
    for line in block:
        last = result[-1][-1] if result else None
        same = last is not None and (last.algorithm, last.protocol) == (line.algorithm, line.protocol)
        if same and (line.assisted or last.method == line.method):
            result[-1].append(line)
        else:
            result.append([line])
    return result


def bold(family: Sequence[Line], compared: Sequence[str]) -> set[tuple[int, str]]:
    """(row, measure) of the higher values as printed among the lines in the roles `compared`, ties included.

    Perplexities are left alone, as in the paper, and so is a line without a rival.
    """
    result = set()
    for measure in MEASURES:
        printed = {
            line.row: float(half_up(value, 4))
            for line in family
            if line.role in compared and (value := line.get(measure)) is not None and math.isfinite(value)
        }
        if len(printed) > 1:
            best = max(printed.values())
            result |= {(row, measure) for row, value in printed.items() if value == best}
    return result


def one_below_another(table: Sequence[Sequence[Line]], by_method: bool) -> list[Panel]:
    """All blocks in one panel; a group is a family, or with `by_method` the lines of one of its methods."""
    if not table:
        return []
    found = []
    for block in table:
        groups = families(block)
        if by_method:
            methods = [groupby(family, key=lambda line: line.method) for family in groups]
            groups = [list(lines) for family in methods for _, lines in family]
        found.append([[(line,) for line in group] for group in groups])
    return [Panel(("",), found)]


def side_by_side(table: Sequence[Sequence[Line]], aligned: bool) -> list[Panel]:
    """Two datasets a panel, CounterFact's format first, and a block a model.

    The lines of a method stand beside each other in order, or with `aligned` at the same k.
    """
    lines = [line for block in table for line in block]
    datasets = list(dict.fromkeys(line.dataset for line in sorted(lines, key=lambda line: line.format)))
    panels = []
    for start in range(0, len(datasets), 2):
        pair = tuple(datasets[start : start + 2])
        found: list[Block] = []
        for model in dict.fromkeys(line.model for line in lines):
            members = [line for line in lines if line.model == model and line.dataset in pair]
            groups = [
                _abreast([[line for line in group if line.dataset == name] for name in pair], aligned)
                for group in _by_method(members)
            ]
            found += [groups] if groups else []
        panels.append(Panel(pair, found))
    return panels


def _by_method(lines: Sequence[Line]) -> list[list[Line]]:
    found: dict[tuple[str, str], list[Line]] = {}
    for line in sorted(lines, key=lambda line: line.k > 0):
        found.setdefault((line.method, line.protocol), []).append(line)
    return list(found.values())


def _abreast(columns: Sequence[Sequence[Line]], aligned: bool) -> list[tuple[Line | None, ...]]:
    """The columns as rows, None where one has no line."""
    if not aligned:
        return list(zip_longest(*columns))
    rows = []
    for k in sorted({_place(line) for column in columns for line in column}):
        rows += zip_longest(*([line for line in column if _place(line) == k] for column in columns))
    return rows


def _place(line: Line) -> tuple[int, int]:
    """Where a k stands among others, as reedit.report.rows.lines orders them."""
    return line.k, -line.k_min


def names(parts: Sequence[str], groups: Sequence[int], again: bool = False) -> list[str]:
    """The Model column: its parts one below another on a block's lines, the last ones together where the
    block has fewer. `groups` counts the lines of each group; with `again` the first part is repeated where
    a later group begins, since a page may end there."""
    count = sum(groups)
    if len(parts) > count:
        parts = [*parts[: count - 1], " ".join(parts[count - 1 :])]
    column = [*parts, *[""] * (count - len(parts))]
    for start in accumulate(groups[:-1]):
        if again and not column[start]:
            column[start] = parts[0]
    return column


def name_parts(line: Line, labels: Mapping[str, str], edits: bool) -> list[str]:
    """Model, dataset and, if asked for, "#edits"."""
    parts = [labels.get(line.model, line.model), labels.get(line.dataset, line.dataset)]
    return [*parts, f"#{line.edits}"] if edits else parts


def algo(line: Line, protocols: int, labels: Mapping[str, str]) -> str:
    """NA_MEMIT for na_memit; the unedited model's protocol only where its block has several."""
    if line.role != "unedited":
        return labels.get(line.method, line.method.upper())
    return "Unedited" if protocols == 1 else f"Unedited ({line.protocol})"


def protocol_count(lines: Sequence[Line]) -> int:
    """How many protocols a block's lines have."""
    return len({line.protocol for line in lines})


def present(table: Sequence[Sequence[Line]], columns: Sequence[str]) -> dict[str, bool | str]:
    """What of a table with these columns needs explaining."""
    lines = [line for block in table for line in block]
    values = [line.printed(measure) or 0.0 for line in lines for measure in columns]
    unedited = [line for line in lines if line.role == "unedited"]
    return {
        "selected": any(line.role == "selected" for line in lines),
        "dagger": any(line.role == "last" for line in lines),
        "range": RANGE * any(line.k_min < line.k for line in lines),
        "collapsed": any(line.collapsed for line in lines),
        "unedited": bool(unedited) and any(measure in BY_DEFINITION for measure in columns),
        "start": "ppl_edited" in columns and any(line.printed("ppl_edited") is not None for line in unedited),
        "infinite": not all(math.isfinite(value) for value in values),
    }
