"""Tables and notes as Markdown that can be read in a terminal."""

import textwrap
from collections.abc import Sequence

WIDTH = 138  # columns of a terminal that notes stay within


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


def plain(text: str) -> str:
    """Without control characters (a terminal would obey them) and with single spaces."""
    return " ".join("".join(c if c.isprintable() else " " for c in text).split())
