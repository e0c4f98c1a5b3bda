"""What a table is before it is TeX or Markdown: cells under heads, in lines, groups and blocks, with notes.

A table is declared as a Table: its columns, and which rows stand together. Where columns depend on the rows,
or the terminal has another layout than the document, it is a class of its own with `grids` and `terminal`.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import groupby, pairwise
from typing import Any

from markupsafe import Markup

from reedit.report.tables.notes import Produced, choice_notes, run_notes
from reedit.report.words import Labels, method_of, name_of, share
from reedit.storage.schemas import SCHEMAS

Row = Mapping[str, Any]
PAGE = 30  # lines of a group that stay on one page


@dataclass(frozen=True)
class Style:
    """How an experiment wants its tables: by which names, whether with intervals, under what."""

    labels: Labels = field(default_factory=dict)
    intervals: bool = False
    sentence: str = ""  # what stands above each, in the .csv in a column


@dataclass(frozen=True)
class Cell:
    """What stands in one place of a table."""

    text: str = ""
    tex: str = ""  # in TeX in place of the text: other words, or TeX of ours (Markup)
    bold: bool = False
    color: str = ""  # a name that table.tex.j2 has a color for
    aside: str = ""  # right beside the text: a mark, an interval
    below: str = ""  # in TeX under the text, in small print


@dataclass(frozen=True)
class Column:
    """A head, and the cell of what stands on a line: a function of it, or the name of an entry of a row."""

    head: Cell | str
    cell: Callable[[Any], Cell | str] | str
    over: tuple[str, ...] = ()  # in TeX the heads above, topmost first; columns side by side share them
    align: str = "r"  # r, l, or a paragraph's width: 85mm
    once: tuple[str, ...] = ()  # blank while these entries are those of the line before
    aside: str = ""  # in TeX the room for what stands aside: 0.9em

    @property
    def top(self) -> Cell:
        """Its head as a cell."""
        return self.head if isinstance(self.head, Cell) else Cell(self.head)

    def of(self, row: Any, before: Any = None) -> Cell:
        """The cell of a row that stands under `before`."""
        if self.once and before and all(row[name] == before[name] for name in self.once):
            return Cell()
        found = row[self.cell] if isinstance(self.cell, str) else self.cell(row)
        return found if isinstance(found, Cell) else Cell("" if found is None else str(found))


K = Cell("k", tex=Markup("$k$"))


def share_cell(mean: float | None, low: float | None, high: float | None, interval: bool) -> Cell:
    """A share in percent, its interval beside it where that is wanted and known."""
    return Cell(share(mean), aside=f"[{share(low)}, {share(high)}]" if interval and low is not None else "")


@dataclass(frozen=True)
class Line:
    """The cells of one line, and whether it stays on one page with the next."""

    cells: list[Cell]
    stays: bool = False


@dataclass(frozen=True)
class Block:
    """Groups of lines, perhaps under a title of their own."""

    groups: list[list[Line]]
    title: str = ""

    @property
    def lines(self) -> list[Line]:
        """All of them."""
        return [line for members in self.groups for line in members]


@dataclass(frozen=True)
class Grid:
    """Blocks under the heads of their columns; `left` of these stand to the left in the terminal."""

    columns: Sequence[Column]
    blocks: Sequence[Block]
    left: int = 2
    title: str = ""
    notes: Sequence[str] = ()


@dataclass(frozen=True)
class Sheet:
    """What is printed of a table: grids, or in the terminal lines of Markdown, and the notes below them."""

    grids: Sequence[Grid] = ()
    notes: Sequence[str] = ()
    legend: Sequence[str] = ()  # sentences of captions.yaml, by name
    text: Sequence[str] = ()


def group(
    columns: Sequence[Column], rows: Sequence[Any], before: Any = None, stays: bool = False
) -> list[Line]:
    """Rows as lines that stay on one page, unless they are too many for one.

    `before` is the row above them; with `stays` the last line stays with what follows.
    """
    kept = len(rows) <= PAGE
    return [
        Line([column.of(row, last) for column in columns], kept and (stays or row is not rows[-1]))
        for last, row in pairwise([before, *rows])
    ]


def consecutive(rows: Sequence[Row], names: Sequence[str]) -> list[list[Row]]:
    """Rows that follow each other with the same entries under `names`."""
    return [list(members) for _, members in groupby(rows, key=lambda row: [row[name] for name in names])]


@dataclass(frozen=True, kw_only=True)
class Table:
    """A table by its name in results/tables: of which rows it is made, and what is printed of them."""

    name: str
    title: str
    schema: str  # of its rows
    summary: str = ""  # results/summary/{summary}.parquet holds them; by default that of its own name
    number: str = ""  # in the paper
    empty: str = "This experiment has edited nothing."
    omitted: bool = False  # whether the document leaves it out where it has no rows
    columns: Sequence[Column] = ()
    block: tuple[str, ...] = ()  # entries that a block's rows have in common
    group: tuple[str, ...] = ()
    left: int = 2
    reading: Sequence[str] = ()  # how to read it
    size: str = "wide"  # of its print: wide, tight or small
    produced_by: Produced = run_notes

    @property
    def made_of(self) -> str:
        """Which summary holds its rows."""
        return self.summary or self.name

    @property
    def headline(self) -> str:
        """Its title, with its number where it has one."""
        return f"Table {self.number}: {self.title}" if self.number else self.title

    def grids(self, rows: Sequence[Row], style: Style) -> list[Grid]:
        """What the document shows of rows of `schema`, of which there is at least one."""
        named = [_named(row, style.labels) for row in rows]
        blocks, before = [], None
        for members in consecutive(named, self.block):
            blocks.append(Block([]))
            for part in consecutive(members, self.group):
                blocks[-1].groups.append(group(self.columns, part, before))
                before = part[-1]
        return [Grid(self.columns, blocks, self.left)]

    def legend(self, rows: Sequence[Row]) -> list[str]:
        """How to read what is printed of the rows."""
        return [*self.reading, *choice_notes(rows)]

    def sheet(self, rows: Sequence[Row], style: Style) -> Sheet:
        """All that the document shows, but for what produced it."""
        return Sheet(self.grids(rows, style), self.legend(rows))

    def terminal(self, rows: Sequence[Row], style: Style) -> Sheet:
        """All that the terminal shows, likewise: the same, with intervals."""
        return self.sheet(rows, replace(style, intervals=True))

    def raw(self, rows: Sequence[Row], labels: Labels) -> tuple[Sequence[str], Sequence[Row]]:
        """Columns and lines of its .csv, unrounded: by default the rows as they are."""
        return SCHEMAS[self.schema].names, rows


def _named(row: Row, labels: Labels) -> Row:
    """A row with the names that its model, dataset and method are printed by."""
    names = {name: name_of(row[name], labels) for name in ("model", "dataset") if name in row}
    return {**row, **names} | ({"method": method_of(row["method"], labels)} if "method" in row else {})
