"""How the lines of a table stand: what is compared, what is bold, which are abreast, how they are named."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import accumulate, groupby, pairwise, zip_longest
from operator import attrgetter

from reedit.report.rows.groups import grouped
from reedit.report.rows.table_lines import SHARED, STATISTICS, Line, blocks
from reedit.report.tables.notes import MARKS
from reedit.report.tables.sheet import Block, Column, Grid, K, Row, Style, group
from reedit.report.words import Labels, half_up, method_of, name_of, share
from reedit.storage.schemas import MEASURES

Group = list[tuple[Line | None, ...]]  # printed lines that belong together, each with one Line a dataset


@dataclass(frozen=True)
class Panel:
    """Blocks of groups under one head; `datasets` has one unnamed where they are not side by side."""

    datasets: tuple[str, ...]
    blocks: list[list[Group]]


@dataclass(frozen=True)
class Printed:
    """What stands on one line: a part of the Model column, the method, and a Line for each dataset."""

    name: str
    algo: str
    lines: tuple[Line | None, ...]

    @property
    def line(self) -> Line:
        """The first one."""
        return next(line for line in self.lines if line)


LEADING = (
    Column("Model", lambda printed: printed.name, align="l"),
    Column("Algo", lambda printed: printed.algo, align="l"),
)


MARKED_K = Column(K, lambda printed: f"{printed.line.k_text}{MARKS.get(printed.line.role, '')}")


def line_grid(columns: Sequence[Column], rows: Sequence[Row], style: Style) -> Grid:
    """The lines of rows of schema "table", a method's name said once, a block a model and number of edits."""
    return Grid(
        columns,
        [
            Block([group(columns, printed_lines(block, style.labels, edits=True, once=True))])
            for block in blocks(rows)
        ],
    )


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
        found: list[list[Group]] = []
        for model in dict.fromkeys(line.model for line in lines):
            members = [line for line in lines if line.model == model and line.dataset in pair]
            by_method = grouped(
                sorted(members, key=lambda line: line.k > 0), attrgetter("method", "protocol")
            ).values()
            groups = [
                _abreast([[line for line in group if line.dataset == name] for name in pair], aligned)
                for group in by_method
            ]
            found += [groups] if groups else []
        panels.append(Panel(pair, found))
    return panels


def _abreast(columns: Sequence[Sequence[Line]], aligned: bool) -> list[tuple[Line | None, ...]]:
    """The columns as rows, None where one has no line."""
    if not aligned:
        return list(zip_longest(*columns))
    # as reedit.report.rows.lines orders them
    at = [grouped(column, lambda line: (line.k, -line.k_min)) for column in columns]
    ks = sorted({k for column in at for k in column})
    return [row for k in ks for row in zip_longest(*(column.get(k, []) for column in at))]


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


def name_parts(line: Line, labels: Labels, edits: bool) -> list[str]:
    """Model, dataset and, if asked for, "#edits"."""
    parts = [name_of(line.model, labels), name_of(line.dataset, labels)]
    return [*parts, f"#{line.edits}"] if edits else parts


def algos(lines: Sequence[Line], labels: Labels) -> dict[int, str]:
    """The method of each line of a block, by its row; the protocol of an unedited model only where the block
    has several."""
    several = len({line.protocol for line in lines}) > 1
    return {
        line.row: f"Unedited{f' ({line.protocol})' * several}"
        if line.role == "unedited"
        else method_of(line.method, labels)
        for line in lines
    }


def printed_lines(block: Sequence[Line], labels: Labels, edits: bool, once: bool = False) -> list[Printed]:
    """The lines of a block one below another with their names; with `once` a method's is said once."""
    column = names(name_parts(block[0], labels, edits), [len(block)])
    methods = list(algos(block, labels).values())
    said = ["" if once and name == before else name for before, name in pairwise(["", *methods])]
    return [Printed(name, algo, (line,)) for name, algo, line in zip(column, said, block, strict=True)]


def shares(metric: str, kinds: Sequence[str]) -> Callable[[Printed], str]:
    """Kinds of a metric in one cell of a line."""
    return lambda printed: " / ".join(share(printed.line.get(f"{metric}_{kind}")) or "-" for kind in kinds)


def raw_lines(
    rows: Sequence[Row], labels: Labels, measures: Sequence[str] = tuple(MEASURES)
) -> tuple[list[str], list[Row]]:
    """Columns and lines of a .csv: the unrounded mean, spread and interval of each measure.

    None where there is none, as for the unedited model's accuracy of specificity; `measures` have their
    columns even where there is no row.
    """
    measures = list(dict.fromkeys([*measures, *(row["measure"] for row in rows)]))
    columns = {
        measure if statistic == "mean" else f"{measure}_{statistic}": (measure, statistic)
        for measure in measures
        for statistic in STATISTICS
    }
    lines = [
        {name: getattr(line, name) for name in SHARED}
        | {"label": algos(block, labels)[line.row]}
        | {name: line.get(*column) for name, column in columns.items()}
        for block in blocks(rows)
        for line in block
    ]
    return [*SHARED, "label", *columns], lines
