"""A table's three texts: TeX for the document, raw CSV, and Markdown that can be read in a terminal."""

import textwrap
from collections.abc import Sequence
from itertools import groupby
from typing import Any, NamedTuple

from reedit.report.latex.typeset import Templates, captions, render
from reedit.report.tables.sheet import Cell, Column, Grid, Row, Sheet, Style, Table
from reedit.report.words import plain
from reedit.storage.csv_text import csv_text

WIDTH = 138  # columns of a terminal that notes stay within
TEMPLATE = "table.tex.j2"
PLAIN = Style()


class Texts(NamedTuple):
    """What is written to results/tables/{name}.tex, .csv and .md."""

    tex: str
    csv: str
    md: str


def texts(
    table: Table,
    rows: Sequence[Row],
    notes: Sequence[str],
    templates: Templates,
    style: Style = PLAIN,
) -> Texts:
    """A table from rows of its schema, with notes on what produced them.

    `templates` are the template files, table.tex.j2 and captions.yaml among them. Raises InputError for a
    template that asks for what was not measured.
    """
    sentence = style.sentence
    sheets = (table.sheet(rows, style), table.terminal(rows, style)) if rows else (Sheet(), Sheet())
    columns, lines = table.raw(rows, style.labels)
    if sentence:
        columns, lines = ["rehearsal", *columns], [{"rehearsal": sentence, **line} for line in lines]
    return Texts(
        tex(table, sheets[0], notes, templates, sentence),
        csv_text(columns, lines),
        f"**{sentence}**\n\n" * bool(sentence) + markdown(table, sheets[1], notes),
    )


def tex(
    table: Table,
    sheet: Sheet,
    notes: Sequence[str],
    templates: Templates,
    sentence: str = "",
) -> str:
    """As TeX for \\input, whose first line names the packages that it needs.

    A table that is omitted without rows is a comment that says so: a document with it does not change.
    """
    if table.omitted and not sheet.grids:
        return f"% {table.headline.split(':')[0]}: {table.empty}\n"
    words = captions(templates)
    grids = [{"grid": grid, "heads": heads(grid.columns)} for grid in sheet.grids]
    lines = (line for grid in sheet.grids for block in grid.blocks for line in block.lines)
    values = {
        "table": table,
        "caption": words["tables"].get(table.name, table.title),
        "grids": grids,
        "intervals": any(cell.below for line in lines for cell in line.cells),
        "legend": [words["legend"][name] for name in sheet.legend],
        "below": [*sheet.notes, *notes],
        "sentence": sentence,
    }
    return render(templates, TEMPLATE, values).lstrip()


def heads(columns: Sequence[Column]) -> list[list[dict[str, Any]]]:
    """The heads line by line, those above several columns as one: the cell, its first and last column.

    A head above stands as low as it can: above one column without `over`, nothing does.
    """
    depth = max(len(column.over) for column in columns)
    above = [("",) * (depth - len(column.over)) + column.over for column in columns]
    lines = []
    for level in range(depth):
        line, end = [], 0
        for names, members in groupby(above, key=lambda over: over[: level + 1]):
            first, end = end + 1, end + len(list(members))
            spans = [(first, end)] if names[-1] else [(one, one) for one in range(first, end + 1)]
            line += [{"cell": Cell(names[-1]), "first": a, "last": b, "room": ""} for a, b in spans]
        lines.append(line)
    own = [
        {"cell": column.top, "first": number, "last": number, "room": column.aside}
        for number, column in enumerate(columns, start=1)
    ]
    return [*lines, own]


def markdown(table: Table, sheet: Sheet, notes: Sequence[str]) -> str:
    """As aligned Markdown; a table without rows is a sentence."""
    lines = [table.headline, ""]
    if not sheet.grids and not sheet.text:
        lines += [table.empty, ""]
    lines += sheet.text
    for grid in sheet.grids:
        lines += [grid.title, ""] if grid.title else []
        lines += [*aligned(_terminal_grid(grid), grid.left), ""]
        lines += [*bullets(grid.notes), ""] if grid.notes else []
    below = [*sheet.notes, *notes]
    return "\n".join([*lines, *bullets(below), ""] if below else lines)


def aligned(grid: Sequence[Sequence[str]], left: int = 2) -> list[str]:
    """The grid as a Markdown table, the first `left` columns to the left, the others to the right."""
    cells = [[plain(cell).replace("|", "\\|") for cell in row] for row in grid]
    widths = [max(2, *map(len, column)) for column in zip(*cells, strict=True)]
    lines = []
    for row in cells:
        padded = [cell.ljust(width) for cell, width in zip(row[:left], widths[:left], strict=True)]
        padded += [cell.rjust(width) for cell, width in zip(row[left:], widths[left:], strict=True)]
        lines.append(f"| {' | '.join(padded)} |")
    rules = ["-" * width for width in widths[:left]] + ["-" * (width - 1) + ":" for width in widths[left:]]
    return [lines[0], f"| {' | '.join(rules)} |", *lines[1:]]


def bullets(notes: Sequence[str]) -> list[str]:
    """The notes as a list, wrapped."""
    wrapped = [textwrap.wrap(plain(note), WIDTH - 2) for note in notes]
    return [("- " if number == 0 else "  ") + line for note in wrapped for number, line in enumerate(note)]


def _terminal_grid(grid: Grid) -> list[list[str]]:
    """The texts of a grid, its heads first; a block's title is a line of its own."""
    texts = [[column.top.text for column in grid.columns]]
    for block in grid.blocks:
        texts += [[block.title, *[""] * (len(grid.columns) - 1)]] if block.title else []
        texts += [[f"{cell.text} {cell.aside}".strip() for cell in line.cells] for line in block.lines]
    return texts
