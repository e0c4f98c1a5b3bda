"""The printed lines of Tables 1 and 2: their order and names, what is compared with what, what is bold."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from itertools import groupby
from typing import Any

from reedit import parquet
from reedit.typeset import half_up

STATISTICS = ("mean", "spread", "low", "high")
BY_DEFINITION = ("specificity_accuracy", "score_accuracy")  # of the unedited model: no measurement


@dataclass(frozen=True)
class Line:
    """One line of a printed table: who, at which k, and the statistics of each measure."""

    model: str
    dataset: str
    format: str
    method: str
    algorithm: str
    assisted: bool
    prefixed: bool
    protocol: str
    k: int
    role: str
    edits: int
    trials: int
    values: dict[str, dict[str, float | None]]  # measure -> statistic -> value

    @property
    def block(self) -> tuple[str, str, int]:
        """What the lines under one unedited model have in common."""
        return self.model, self.dataset, self.edits

    def get(self, measure: str, statistic: str = "mean") -> float | None:
        """A statistic of a measure, None where it was not measured or is true by definition."""
        if self.k == 0 and measure in BY_DEFINITION:
            return None
        return self.values.get(measure, {}).get(statistic)


SHARED = tuple(field.name for field in fields(Line) if field.name != "values")


def blocks(rows: Sequence[Mapping[str, Any]]) -> list[list[Line]]:
    """The lines of a table from its rows (schema "table", one row per line and measure), block by block."""
    lines = []
    for _, group in groupby(rows, key=lambda row: row["row"]):
        members = list(group)
        values = {row["measure"]: {name: row[name] for name in STATISTICS} for row in members}
        lines.append(Line(**{name: members[0][name] for name in SHARED}, values=values))
    return [list(block) for _, block in groupby(lines, key=lambda line: line.block)]


def groups(block: Sequence[Line]) -> list[list[Line]]:
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


def bold(group: Sequence[Line]) -> set[tuple[int, str]]:
    """(place in the group, measure) of the higher values as printed, ties included.

    Perplexities are left alone, as in the paper, and so is a line without a rival.
    """
    result = set()
    for measure in parquet.MEASURES:
        printed = {
            place: float(half_up(value, 4))
            for place, line in enumerate(group)
            if (value := line.get(measure)) is not None and math.isfinite(value)
        }
        if len(printed) > 1:
            best = max(printed.values())
            result |= {(place, measure) for place, value in printed.items() if value == best}
    return result


def names(block: Sequence[Line], labels: Mapping[str, str], edits: bool) -> list[str]:
    """The Model column, spread over the block's lines: model, dataset and, if asked for, "#edits"."""
    model, dataset, count = block[0].block
    parts = [labels.get(model, model), labels.get(dataset, dataset)]
    if edits:
        parts.append(f"#{count}")
    if len(parts) > len(block):
        parts = [*parts[: len(block) - 1], " ".join(parts[len(block) - 1 :])]
    return parts + [""] * (len(block) - len(parts))


def algo(line: Line, block: Sequence[Line], labels: Mapping[str, str]) -> str:
    """NA_MEMIT for na_memit; the unedited model's protocol only where the block has several."""
    if line.role != "unedited":
        return labels.get(line.method, line.method.upper())
    return "Unedited" if len({other.protocol for other in block}) == 1 else f"Unedited ({line.protocol})"


def present(table: Sequence[Sequence[Line]]) -> dict[str, bool]:
    """What the notes have to explain: a criterion not met, an unedited model, an infinite perplexity."""
    lines = [line for block in table for line in block]
    values = [line.get(measure) or 0.0 for line in lines for measure in ("me_ppl", "delta_p")]
    return {
        "dagger": any(line.role == "last" for line in lines),
        "unedited": any(line.role == "unedited" for line in lines),
        "infinite": not all(math.isfinite(value) for value in values),
    }
