"""A table of measures in the paper's layout, and for the terminal with fewer and fuller columns."""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import pairwise

from markupsafe import Markup

from reedit.evaluate.measures import KINDS, METRICS
from reedit.report.rows.lines import STOPPING_RULES, Ks, Method, Shown, at_every, at_every_stop, table_lines
from reedit.report.rows.table_lines import BY_DEFINITION, Line, blocks
from reedit.report.tables import blocks as layout
from reedit.report.tables.notes import LAST, MARKS, RANGE
from reedit.report.tables.sheet import PAGE, Block, Cell, Column, Grid, K, Row, Sheet, Style, Table, group
from reedit.report.words import Labels, name_of, percent, perplexity, share
from reedit.storage.schemas import MEASURES

HEADS = {  # of the measures that are no shares: as the terminal, and as the document prints them
    "me_ppl": Cell("ME-PPL"),
    "ppl_target": Cell("p optimised", tex=Markup(r"$p(\theta_k, \bar{h}_{t,k}^{l_c})$")),
    "ppl_edited": Cell("p edited", tex=Markup(r"$p(\theta_{k+1}, \hat{h}_{t,k}^{l_c})$")),
    "delta_p": Cell("abs Δp", tex=Markup(r"$|\Delta p_k|$ ($\downarrow$)")),
    "delta_p2": Cell("abs Δp2", tex=Markup(r"$\Delta_{p2}$ ($\downarrow$)")),
}
LEGEND = {
    "unedited": "k = 0: accuracy of specificity is 100 by definition (unchanged from itself), left blank.",
    "start": "k = 0: p edited is the unedited model's perplexity of the new knowledge.",
    "dagger": LAST["last"],
    "range": RANGE,
    "infinite": "inf, NaN: beyond the range of floating point, the model has collapsed.",
}
MET = "* the criterion abs Δp <= 1 is met."
Bold = set[tuple[int, str]]  # (row, measure)


@dataclass(frozen=True, kw_only=True)
class PaperTable(Table):
    """One of the paper's: `methods` of the experiment, `at` which k of each, and the `measures` printed."""

    schema: str = "table"
    size: str = "tight"
    omitted: bool = True
    methods: Callable[[Sequence[Method]], list[Method]]
    at: Callable[[Method], Mapping[Ks, str]]
    measures: tuple[str, ...]
    compared: tuple[str, ...]  # roles of the lines among which the higher value is bold
    unedited: bool = True  # whether the unedited model heads each block
    edits: bool = False  # whether their number stands with the model
    side_by_side: bool = False  # datasets as groups of columns, lines in the colors of the stopping rules

    @property
    def every_k(self) -> bool:
        """Whether it shows all iterations."""
        return self.at in (at_every, at_every_stop)

    @property
    def own_k(self) -> bool:
        """Whether each dataset has a column of its own for k."""
        return self.side_by_side and not self.every_k

    def lines(self, methods: Sequence[Method]) -> list[Shown]:
        """The lines it shows of an experiment's methods."""
        return table_lines(self.methods(methods), self.at, self.unedited)

    def sheet(self, rows: Sequence[Row], style: Style) -> Sheet:
        lines = [line for block in blocks(rows) for line in block]
        explained = self._explained(lines)
        legend = {
            "rules": self.side_by_side,
            "selected": not self.side_by_side and any(line.role == "selected" for line in lines),
            "collapsed": not self.side_by_side and any(line.collapsed for line in lines),
            **explained,
            "range": False,  # said in the same words in the terminal
            "intervals": style.intervals,
        }
        named = [name for name, wanted in legend.items() if wanted]
        return Sheet(self.grids(rows, style), [RANGE] * explained["range"], named)

    def grids(self, rows: Sequence[Row], style: Style) -> list[Grid]:
        found = blocks(rows)
        strong = {
            cell
            for block in found
            for family in layout.families(block)
            for cell in layout.bold(family, self.compared)
        }
        if self.side_by_side:
            panels = layout.side_by_side(found, aligned=self.every_k)
        else:
            panels = layout.one_below_another(found, by_method=self.every_k)
        grids = []
        for panel in panels:
            columns = self._columns(panel.datasets, strong, style)
            grids.append(Grid(columns, [self._block(block, columns, style.labels) for block in panel.blocks]))
        return grids

    def terminal(self, rows: Sequence[Row], style: Style) -> Sheet:
        """One dataset below another, accuracy and success in one column, the score's interval beside it."""
        columns = [*layout.LEADING, Column("k", lambda printed: self._marked_k(printed.line))]
        if self.side_by_side:
            columns.append(Column("Stops", lambda printed: self._rule(printed.line)))
        for metric in METRICS:
            kinds = [kind for kind in KINDS if f"{metric}_{kind}" in self.measures]
            columns += [Column(metric.capitalize(), layout.shares(metric, kinds))] if kinds else []
        for name in self.measures:
            if name.startswith("score"):
                columns.append(Column(name.replace("_", " ").capitalize(), _with_interval(name)))
        columns += [Column(HEADS[name].text, _perplexity(name)) for name in self.measures if name in HEADS]
        found = blocks(rows)
        lines = [line for block in found for line in block]
        printed = [one for block in found for one in layout.printed_lines(block, style.labels, self.edits)]
        both = all(f"efficacy_{kind}" in self.measures for kind in KINDS)
        legend = [
            f"Percent, {'accuracy / success; ' * both}score: their harmonic mean"
            " [95 % bootstrap interval over cases]."
        ]
        legend += [MET] * any(self._marked_k(line).endswith("*") for line in lines)
        legend += [LEGEND[name] for name, wanted in self._explained(lines).items() if wanted]
        return Sheet([Grid(columns, [Block([group(columns, printed)])])], legend)

    def raw(self, rows: Sequence[Row], labels: Labels) -> tuple[Sequence[str], Sequence[Row]]:
        return layout.raw_lines(rows, labels)

    def _explained(self, lines: Sequence[Line]) -> dict[str, bool]:
        """What of the lines needs explaining: the names of LEGEND."""
        values = [line.printed(measure) or 0.0 for line in lines for measure in self.measures]
        unedited = [line for line in lines if line.role == "unedited"]
        starts = [line.printed("ppl_edited") is not None for line in unedited]
        return {
            "unedited": bool(unedited) and any(measure in BY_DEFINITION for measure in self.measures),
            "start": "ppl_edited" in self.measures and any(starts),
            "dagger": any(line.role == "last" for line in lines),
            "range": any(line.k_min < line.k for line in lines),
            "infinite": not all(math.isfinite(value) for value in values),
        }

    def _columns(self, datasets: Sequence[str], strong: Bold, style: Style) -> list[Column]:
        """Names and k, then the measures of each dataset, under its name where several stand side by side."""
        columns = list(layout.LEADING)
        if not self.own_k:
            columns.append(Column(K, lambda printed: self._k(printed.line)))
        for place, dataset in enumerate(datasets):
            over = (name_of(dataset, style.labels),) if dataset else ()
            if self.own_k:
                columns.append(Column(K, self._cell(place, self._k), over=(*over, "")))
            for measure in self.measures:
                say = partial(self._measured, measure=measure, strong=strong, intervals=style.intervals)
                head = HEADS.get(measure, Cell(measure.partition("_")[2].capitalize()))
                columns.append(Column(head, self._cell(place, say), over=(*over, _family(measure))))
        return columns

    @staticmethod
    def _cell(place: int, say: Callable[[Line], Cell]) -> Callable[[layout.Printed], Cell]:
        """A cell of the dataset in a place, empty where that has no such line."""
        return lambda printed: say(line) if (line := printed.lines[place]) else Cell()

    def _block(self, block: Sequence[layout.Group], columns: Sequence[Column], labels: Labels) -> Block:
        """A block's groups. A page may end below one, but not below the unedited model, which heads what
        follows, nor in a table of chosen k within a block that fits on a page."""
        lines = [line for members in block for row in members for line in row if line]
        parts = layout.name_parts(lines[0], labels, self.edits)[: 1 if self.side_by_side else None]
        column = iter(layout.names(parts, [len(members) for members in block], again=self.every_k))
        methods = layout.algos(lines, labels)
        breaks = self.every_k or len(lines) > PAGE
        groups = []
        for members in block:
            told = [methods[next(filter(None, row)).row] for row in members]
            said = ["" if name == before else name for before, name in pairwise(["", *told])]  # once
            printed = [layout.Printed(next(column), *line) for line in zip(said, members, strict=True)]
            last = members is block[-1] or (breaks and printed[-1].line.role != "unedited")
            groups.append(group(columns, printed, stays=not last))
        return Block(groups)

    def _k(self, line: Line) -> Cell:
        """A k that two datasets share has no color: their rules may stop at different ones."""
        shared = self.side_by_side and not self.own_k
        return Cell(
            f"{line.k_text}{MARKS['last'] * (line.role == 'last')}", color="" if shared else self._color(line)
        )

    def _measured(self, line: Line, measure: str, strong: Bold, intervals: bool) -> Cell:
        """A number as the paper prints it; the ME-PPL of a collapsed model warns whatever the line's role."""
        value = line.printed(measure)
        text = percent(value) if measure in MEASURES else perplexity(value).replace("inf", "∞")
        color = "collapsed" if line.collapsed and measure == "me_ppl" else self._color(line)
        below = _interval(line, measure) if intervals else ""
        return Cell(text, bold=(line.row, measure) in strong, color=color, below=below)

    def _color(self, line: Line) -> str:
        """The stopping rule that keeps the line, or whether its model has collapsed."""
        if line.role in ("selected", *STOPPING_RULES):
            return line.role
        return "collapsed" if line.collapsed and not self.side_by_side else ""

    def _marked_k(self, line: Line) -> str:
        """k, with a mark where the rule never stopped or, among all k, where it stops."""
        if line.role == "last":
            return f"{line.k_text}{MARKS['last']}"
        return f"{line.k_text}*" if self.every_k and line.role == "selected" else line.k_text

    def _rule(self, line: Line) -> str:
        return line.role.replace("_", " ") if line.role in self.compared else ""


def _family(measure: str) -> str:
    """What a column stands under: its metric or perplexity; nothing above a difference of perplexities."""
    if measure in MEASURES:
        return f"{measure.partition('_')[0].capitalize()} (↑)"
    return "" if measure.startswith("delta") else "Perplexity (↓)"


def _interval(line: Line, measure: str) -> str:
    """ "[70.1, 86.2]", or an empty string."""
    text = share if measure in MEASURES else perplexity
    low, high = (text(line.printed(measure, bound)) for bound in ("low", "high"))
    return f"[{low}, {high}]" if low and high else ""


def _with_interval(measure: str) -> Callable[[layout.Printed], str]:
    """ "79.0 [70.1, 86.2]"."""
    return lambda printed: f"{share(printed.line.get(measure))} {_interval(printed.line, measure)}".strip()


def _perplexity(measure: str) -> Callable[[layout.Printed], str]:
    return lambda printed: perplexity(printed.line.printed(measure))
