"""What the paper reports: the lines of its Tables 1-4 and 6-10, and which of their cells are known slips.

`resources/reported.csv` prints shares in percent; here they are fractions, as in our own tables. How far a
printed number may be from the one behind it is its tolerance.
"""

import csv
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from reedit.errors import InputError
from reedit.evaluate.measures import METRICS, harmonic
from reedit.methods.stopping import RULES
from reedit.storage import schemas

TABLES = (1, 2, 3, 4, 6, 7, 8, 9, 10)
PERPLEXITIES = {  # by the csv's name
    "me_ppl_50": "me_ppl",
    "ppl_target_optimized": "ppl_target",
    "ppl_target_edited": "ppl_edited",
    "delta_p": "delta_p",
    "delta_p2": "delta_p2",
}
MEASURES = (*schemas.MEASURES, *PERPLEXITIES.values())
IDENTITY = ("table", "model", "dataset", "method", "k")
COLUMNS = ("table", "model", "dataset", "algorithm", "k", "n_edits")
COLUMNS += (*schemas.MEASURES, *PERPLEXITIES, "stop_rule", "selected")


@dataclass(frozen=True)
class ReportedLine:
    """A printed line: who, at which k, after how many edits; measure -> value, and measure -> why a slip."""

    table: int
    model: str
    dataset: str
    method: str
    k: int
    edits: int
    rule: str  # the stopping rule that Table 4 shows this line for, otherwise empty
    values: Mapping[str, float]
    slips: Mapping[str, str] = field(default_factory=dict)

    @property
    def role(self) -> str:
        """What the line stands for in its table: unedited, first, selected, a stopping rule, or a k.

        Table 1 shows the first iteration and the chosen one, Tables 2 and 3 the chosen one alone.
        """
        if self.k == 0:
            return "unedited"
        if self.table == 4:
            return self.rule
        if self.table > 4:
            return "iteration"
        return "first" if self.table == 1 and self.k == 1 else "selected"

    def tolerance(self, measure: str) -> float:
        """How far the number behind a printed one may be from it, in the unit of the value.

        Shares are means of whole percents, one a trial, so each is uncertain by half a percentage point
        however many decimals are printed. Perplexities: half of the last digit, the second decimal or,
        where printed like 7.07E+03, the third digit.
        """
        if measure in schemas.MEASURES:
            return 0.005
        power = int(f"{self.values[measure]:e}".partition("e")[2])  # of its first digit
        return 0.5 * 10.0 ** (power - 2) if self.exponential(measure) else 0.005

    def range(self, measure: str) -> tuple[float, float]:
        """The numbers that a printed one may stand for: as far as its tolerance, and a score also as far as
        the rounding of its three parts can move their harmonic mean.

        A part printed as zero is zero, which the published harmonic mean leaves out; where another one may be
        zero as well, or is a slip, the parts tell nothing.
        """
        value, tolerance = self.values[measure], self.tolerance(measure)
        own = value - tolerance, value + tolerance
        score, _, kind = measure.partition("_")
        parts = [f"{metric}_{kind}" for metric in METRICS]
        if score != "score" or any(part not in self.values or part in self.slips for part in parts):
            return own
        printed = np.array([self.values[part] for part in parts])
        bounds = [np.where(printed > 0, printed + sign * tolerance, 0.0) for sign in (-1, 1)]
        if ((printed > 0) & (bounds[0] <= 0)).any():
            return own
        least, most = (float(harmonic(bound, "released")) for bound in bounds)
        return min(own[0], least), max(own[1], most)

    def exponential(self, measure: str) -> bool:
        """Whether the paper prints a perplexity like 7.07E+03: ROME's all, others from 1,000 on where the
        csv holds three digits (2.38E+04 beside 12808.17)."""
        value = self.values[measure]
        three = float(f"{value:.2e}") == value
        return measure not in schemas.MEASURES and three and (self.method == "rome" or abs(value) >= 1000)


def read_reported(path: Path | str, slips: Path | str | None = None) -> list[ReportedLine]:
    """The printed lines of reported.csv in its order, the slips of reported-slips.yaml marked in them.

    Raises InputError with the line and column of the first thing that is wrong.
    """
    try:
        with open(path, encoding="utf-8", newline="") as file:
            rows = list(csv.reader(file))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise InputError(f"{path}: not readable as CSV ({error})") from error
    if not rows or tuple(rows[0]) != COLUMNS:
        raise InputError(f"{path}, line 1: found {','.join(rows[0] if rows else [])!r}, expected {COLUMNS}")
    lines: dict[tuple, ReportedLine] = {}
    for number, row in enumerate(rows[1:], start=2):
        where = f"{path}, line {number}"
        if len(row) != len(COLUMNS):
            raise InputError(f"{where}: found {len(row)} columns, expected {len(COLUMNS)}")
        line = _line(dict(zip(COLUMNS, row, strict=True)), where)
        key = tuple(getattr(line, name) for name in IDENTITY)
        if key in lines:
            raise InputError(f"{where}: the line of {key} stands twice")
        lines[key] = line
    return _marked(list(lines.values()), slips) if slips else list(lines.values())


def _line(row: Mapping[str, str], where: str) -> ReportedLine:
    """One line of the csv, each column checked."""

    def check(column: str, allowed: bool, expected: str) -> None:
        if not allowed:
            found = f"found {row[column]!r}" if row[column] else "empty"
            raise InputError(f"{where}, column {column}: {found}, expected {expected}")

    def whole(column: str, expected: str, allowed: Any) -> int:
        text = row[column]
        check(column, text.isascii() and text.isdigit() and int(text) in allowed, expected)
        return int(text)

    def number(column: str, least: float, most: float, expected: str) -> float:
        try:
            value = float(row[column])
        except ValueError:
            value = math.nan
        check(column, math.isfinite(value) and least <= value <= most, expected)
        return value

    for column in ("model", "dataset", "algorithm"):
        check(column, bool(row[column]), "a name")
    rules = RULES[1:]
    check("stop_rule", row["stop_rule"] in ("", *rules), f"one of {', '.join(rules)}, or nothing")
    whole("selected", "0 or 1", range(2))
    percents = {name: name for name in schemas.MEASURES if row[name]}
    perplexities = {name: measure for name, measure in PERPLEXITIES.items() if row[name]}
    values = {name: number(name, 0, 100, "a percentage from 0 to 100") / 100 for name in percents}
    for name, measure in perplexities.items():
        least = -math.inf if name == "delta_p" else 0.0  # the paper prints some differences with their sign
        values[measure] = number(name, least, math.inf, "a number" if least else "a number of at least 0")
    return ReportedLine(
        table=whole("table", f"one of {', '.join(map(str, TABLES))}", TABLES),
        model=row["model"],
        dataset=row["dataset"],
        method=row["algorithm"],
        k=whole("k", "a whole number from 0 to 10", range(11)),
        edits=whole("n_edits", "a whole number of at least 1", range(1, 10**9)),
        rule=row["stop_rule"],
        values=values,
    )


def _marked(lines: Sequence[ReportedLine], path: Path | str) -> list[ReportedLine]:
    """The lines with their slips; an entry whose keys select no reported cell is an error."""
    try:
        entries = yaml.safe_load(Path(path).read_text(encoding="utf-8"))
    except (yaml.YAMLError, OSError, UnicodeDecodeError) as error:
        raise InputError(f"{path}: not readable as YAML ({' '.join(str(error).split())})") from error
    if not isinstance(entries, list):
        raise InputError(f"{path}: expected a list of slips")
    marks: dict[int, dict[str, str]] = {place: {} for place in range(len(lines))}
    for number, entry in enumerate(entries, start=1):
        for place, measure in _selected(lines, entry, f"{path}, entry {number}"):
            marks[place][measure] = entry["why"]
    return [replace(line, slips=marks[place]) for place, line in enumerate(lines)]


def _selected(lines: Sequence[ReportedLine], entry: Any, where: str) -> list[tuple[int, str]]:
    """(place of the line, measure) of each reported cell that an entry of the slips selects."""
    keys = {*IDENTITY, "measures", "why"}
    if not isinstance(entry, dict) or set(entry) != keys:
        raise InputError(f"{where}: expected the keys {', '.join(sorted(keys))} and no other")
    if not isinstance(entry["why"], str) or not entry["why"]:
        raise InputError(f"{where}: why: found {entry['why']!r}, expected a sentence")
    asked = {key: value if isinstance(value, list) else [value] for key, value in entry.items()}
    cells = [
        {name: getattr(line, name) for name in IDENTITY} | {"measures": measure, "place": place}
        for place, line in enumerate(lines)
        for measure in line.values
    ]
    selects = (*IDENTITY, "measures")
    found = [cell for cell in cells if all(cell[key] in asked[key] for key in selects)]
    if not found:
        raise InputError(f"{where}: selects no reported cell")
    for key in selects:
        missing = [value for value in asked[key] if value not in [cell[key] for cell in found]]
        if missing:
            raise InputError(f"{where}: {key}: no reported cell for {missing[0]!r}")
    return [(cell["place"], cell["measures"]) for cell in found]
