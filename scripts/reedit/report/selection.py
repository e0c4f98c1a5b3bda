"""Which lines a table shows: the experiment's methods from rows of "runs", and of each the k that matter.

A line is a method at one k, in a role: unedited, first, selected (the proposed rule stops there), last (it
never did), unjudged (the last one, where delta_p was never measured), the stopping rule that stops there, or
iteration for any other.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import takewhile
from typing import Any

from reedit.edit.algorithms import ALGORITHMS
from reedit.edit.stopping import choose, met
from reedit.errors import InputError

STOPPING_RULES = ("proposed", "monotonic", "small_change")  # where two agree on a k, the first gives its name
Row = Mapping[str, Any]


@dataclass(frozen=True)
class Method:
    """The trials of one method: {trial: {k: row of "runs"}}, and what they have in common."""

    entry: int
    model: str
    dataset: str
    format: str
    method: str
    algorithm: str
    assisted: bool
    prefixed: bool
    protocol: str
    edits: int
    trials: dict[int, dict[int, Row]]

    @property
    def path(self) -> tuple[str, str, str]:
        """Names the method in the whole experiment."""
        return self.model, self.dataset, self.method

    @property
    def block(self) -> tuple[str, str, int]:
        """What may stand under one unedited model: the same number of edits of a dataset."""
        return self.model, self.dataset, self.edits

    @property
    def last(self) -> int:
        """The last k that every trial reached, 0 if nothing was edited."""
        return min(max(rows) for rows in self.trials.values())

    def mean(self, measure: str, k: int) -> float | None:
        """Mean over the trials; None if any of them did not measure it. Infinity and NaN survive."""
        values = [rows[k][measure] for rows in self.trials.values()]
        return None if None in values else sum(values) / len(values)

    def course(self, measure: str) -> list[float | None]:
        """The means for k = 1, 2, ... as far as every trial went. Raises InputError where a k is missing."""
        for k in range(1, self.last + 1):
            if any(k not in rows for rows in self.trials.values()):
                raise InputError(f"{'/'.join(self.path)}: a trial lacks k = {k}")
        return [self.mean(measure, k) for k in range(1, self.last + 1)]

    def choice(self) -> tuple[int, bool]:
        """The k of the proposed rule on the means over trials, and whether it was met; else the last k."""
        return choose("proposed", _numbers(self.course("delta_p")), [])

    @property
    def unmet(self) -> str:
        """The role of the last k: the criterion was not met, or delta_p was never measured."""
        return "last" if any(value is not None for value in self.course("delta_p")) else "unjudged"

    def stops(self) -> dict[int, str]:
        """The k that a stopping rule keeps, ascending, each with the first such rule."""
        delta_p = list(takewhile(lambda value: value is not None, self.course("delta_p")))
        delta_p2 = _numbers(self.course("delta_p2"))[: len(delta_p)]
        found: dict[int, str] = {}
        for rule in STOPPING_RULES:
            k = met(rule, _numbers(delta_p), delta_p2)
            if k is not None:
                found.setdefault(k, rule)
        return dict(sorted(found.items()))


@dataclass(frozen=True)
class Shown:
    """One line of a table: a method at k (0 is the unedited model) and why it is shown."""

    method: Method
    k: int
    role: str


def methods_of(runs: Sequence[Row]) -> list[Method]:
    """The methods in order of appearance."""
    found: dict[tuple, Method] = {}
    for row in runs:
        key = (row["entry"], row["model"], row["dataset"], row["method"])
        if key not in found:
            shared = [name for name in Method.__dataclass_fields__ if name != "trials"]
            found[key] = Method(**{name: row[name] for name in shared}, trials={})
        found[key].trials.setdefault(row["trial"], {})[row["k"]] = row
    return list(found.values())


def iterative(methods: Sequence[Method], format: str | None = None) -> list[Method]:
    """The methods of the entries without neighbor assistance, for datasets of one format or of all.

    A model that has no such entry on datasets of a format is shown by the plain methods of its other entries.
    """
    mixed = _mixed(methods)
    covered = {(method.model, method.format) for method in methods if method.entry not in mixed}
    return [
        method
        for method in methods
        if format in (None, method.format)
        and not method.assisted
        and (method.entry not in mixed or (method.model, method.format) not in covered)
    ]


def assisted(methods: Sequence[Method]) -> list[Method]:
    """Each method beside its assisted forms without a prefix, from the blocks that have one."""
    return _compared([method for method in methods if not method.prefixed], methods, prefixed=False)


def prefixed(methods: Sequence[Method]) -> list[Method]:
    """Each method beside its assisted forms with and without a prefix, from the blocks that have one with."""
    return _compared(methods, methods, prefixed=True)


def stopped(methods: Sequence[Method]) -> list[Method]:
    """The iterative methods that meet the proposed rule."""
    return [method for method in iterative(methods) if method.last > 0 and method.choice()[1]]


def never_stopped(methods: Sequence[Method]) -> list[Method]:
    """The iterative methods that never do."""
    edited = [method for method in iterative(methods) if method.last > 0]
    return [method for method in edited if "last" in at_selected(method).values()]


def at_selected(method: Method) -> dict[int, str]:
    """{k: role} of the k where the proposed rule stops, or of the last."""
    k, reached = method.choice()
    return {k: "selected" if reached else method.unmet}


def at_first_and_selected(method: Method) -> dict[int, str]:
    """The same and the first iteration, one line where they coincide."""
    return {1: "first"} | at_selected(method)


def at_every(method: Method) -> dict[int, str]:
    """Every k, the first and the selected one marked."""
    return dict.fromkeys(range(1, method.last + 1), "iteration") | at_first_and_selected(method)


def at_stops(method: Method) -> dict[int, str]:
    """The k at which a stopping rule stops."""
    return method.stops()


def at_every_stop(method: Method) -> dict[int, str]:
    """Every k, those at which a stopping rule stops marked."""
    return dict.fromkeys(range(1, method.last + 1), "iteration") | method.stops()


def table_lines(
    methods: Sequence[Method], at: Callable[[Method], Mapping[int, str]], unedited: bool = True
) -> list[Shown]:
    """The lines block by block: the unedited model if asked for, then every method at its k.

    A method that stands in several entries counts once, one that nothing was edited with not at all.
    """
    methods = list({method.path: method for method in methods}.values())
    result: list[Shown] = []
    for block in dict.fromkeys(method.block for method in methods):
        members = [method for method in methods if method.block == block]
        if unedited:
            result += [Shown(method, 0, "unedited") for method in _unedited(members)]
        for method in members:
            if method.last > 0:
                result += [Shown(method, k, role) for k, role in at(method).items()]
    return result


def _numbers(values: Sequence[float | None]) -> list[float]:
    """What was not measured meets no criterion."""
    return [math.nan if value is None else value for value in values]


def _mixed(methods: Sequence[Method]) -> set[int]:
    """The entries with an assisted method."""
    return {method.entry for method in methods if method.assisted}


def _compared(shown: Sequence[Method], methods: Sequence[Method], prefixed: bool) -> list[Method]:
    """Those of `shown` in entries and blocks with an assisted method that has a prefix, or has none."""
    mixed = _mixed(methods)
    wanted = {m.block for m in methods if m.assisted and m.prefixed == prefixed}
    return _paired([method for method in shown if method.entry in mixed and method.block in wanted])


def _paired(methods: Sequence[Method]) -> list[Method]:
    """Each plain method followed by its assisted counterparts; those without one stay in their place."""
    leader: dict[int, int] = {}  # position of an assisted method -> that of the one it is compared with
    for position, method in enumerate(methods):
        plain = [
            other
            for other, candidate in enumerate(methods)
            if not candidate.assisted
            and (candidate.block, candidate.algorithm, candidate.protocol)
            == (method.block, method.algorithm, method.protocol)
        ]
        # na_memit_large belongs to memit_large where there is a memit as well
        plain.sort(key=lambda p: len(methods[p].method) * method.method.endswith(methods[p].method))
        leader[position] = plain[-1] if method.assisted and plain else position
    order = sorted(
        range(len(methods)), key=lambda p: (leader[p], methods[p].assisted, methods[p].prefixed, p)
    )
    return [methods[position] for position in order]


def _unedited(members: Sequence[Method]) -> list[Method]:
    """Whose unedited model heads a block: one method's, unless their protocols measure it differently.

    A method that edits one by one lends it last: its p(theta_1, h) is measured between edits.
    """
    by_protocol: dict[str, Method] = {}
    for method in sorted(
        members, key=lambda method: ALGORITHMS[method.algorithm.partition("+")[0]].one_by_one
    ):
        by_protocol.setdefault(method.protocol, method)
    order = list(dict.fromkeys(method.protocol for method in members))
    return [by_protocol[protocol] for protocol in order]
