"""What follows from edits and what stays, group by group, in print."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial

from reedit.report.rows.portability import KINDS, group_of
from reedit.report.rows.table_lines import Line, blocks
from reedit.report.tables.blocks import LEADING, MARKED_K, Printed, printed_lines, raw_lines
from reedit.report.tables.sheet import Block, Cell, Column, Grid, Row, Style, Table, group, share_cell
from reedit.report.words import Labels, half_up

HEADS = {
    "forced": "Forced",
    "all_forced": "All tokens",
    "generated": "Generated",
    "generated_known": "Where known",
}


@dataclass(frozen=True)
class _GroupLine:
    """A line of a block in one of its groups; the block's names stand beside its first group alone."""

    printed: Printed
    group: str
    first: bool  # of its group

    @property
    def name(self) -> str:
        return self.printed.name

    @property
    def algo(self) -> str:
        return self.printed.algo

    @property
    def line(self) -> Line:
        return self.printed.line

    def get(self, kind: str, statistic: str = "mean") -> float | None:
        return self.line.get(f"{self.group}/{kind}", statistic)


class PortabilityTable(Table):
    """Group after group the lines of a block."""

    def grids(self, rows: Sequence[Row], style: Style) -> list[Grid]:
        share = partial(_share, interval=style.intervals)
        columns = [
            LEADING[0],
            Column("Group", lambda one: _words(one.group) if one.first else "", align="l"),
            Column("Cases", lambda one: _number(one.get("cases")) if one.first else ""),
            Column("Known", lambda one: _number(one.get("known")) if one.first else ""),
            LEADING[1],
            MARKED_K,
            *(Column(head, partial(share, kind=kind)) for kind, head in HEADS.items()),
        ]
        return [Grid(columns, [_block(columns, block, style) for block in blocks(rows)], left=6)]

    def raw(self, rows: Sequence[Row], labels: Labels) -> tuple[Sequence[str], Sequence[Row]]:
        names = list(dict.fromkeys(group_of(row["measure"]) for row in rows))
        return raw_lines(rows, labels, [f"{name}/{kind}" for name in names for kind in KINDS])


def _block(columns: Sequence[Column], block: Sequence[Line], style: Style) -> Block:
    """The lines of a model and dataset, once for each of their groups."""
    lines = printed_lines(block, style.labels, edits=True, once=True)
    names = dict.fromkeys(group_of(measure) for line in block for measure in line.values)
    groups = []
    for number, name in enumerate(names):
        own = [replace(line, name=line.name if number == 0 else "") for line in lines]
        shown = [_GroupLine(line, name, line is own[0]) for line in own]
        groups.append(group(columns, shown))
    return Block(groups)


def _words(name: str) -> str:
    return name.replace("_", " ")


def _number(value: float | None) -> str:
    """A number of cases, the mean over trials."""
    return "" if value is None else half_up(value, 0 if value == int(value) else 1)


def _share(one: _GroupLine, kind: str, interval: bool) -> Cell:
    return share_cell(*(one.get(kind, which) for which in ("mean", "low", "high")), interval)


PORTABILITY = PortabilityTable(
    name="portability",
    title="What follows from the edits, and what stays: groups of prompts beside the scored ones.",
    schema="table",
    empty="No dataset of this experiment has groups.",
    size="tight",
    reading=(
        "Percent, mean over a case's prompts of the group, over cases, then over trials; intervals are 95 %"
        " bootstrap intervals over cases. Forced: the share of the answer's tokens that are the argmax, each"
        " after those before it; all tokens: of the prompts on which all are. Generated: what the model says"
        " by itself, up to a natural stop, contains the answer or an alias of it, or is right as"
        " the judge has it that the notes name.",
        "Known: cases of whose premises (the hops that are not edited; for what should stay, the fact"
        " itself) the unedited model knows some, and where known: Generated over the prompts whose"
        " premises it knows."
        " Empty where the data tells no premises.",
    ),
)
