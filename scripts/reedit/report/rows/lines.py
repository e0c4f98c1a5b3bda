"""Which lines a table shows: the experiment's methods from rows of "runs", and of each the k that matter.

A line is a method at one k of every trial, in a role: unedited, first, selected (the proposed rule stops
there), last (in some trial it never did), unjudged (the last one, where delta_p was never measured), the
stopping rule that stops there, or iteration for any other. A trial is a run of its own, which a rule stops
whatever the others do: so its k may be another one than theirs.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields
from operator import attrgetter, itemgetter
from typing import Any

from reedit.errors import InputError
from reedit.methods.algorithms import ALGORITHMS
from reedit.methods.stopping import RULES, met, selected
from reedit.report.rows.groups import grouped

STOPPING_RULES = RULES[1:]  # where two agree on a k, the first gives its name
GAPS = ("delta_p", "delta_p2")  # what the rules go by
QUESTIONS = ("zsre", "qaedit")  # formats that tell no answer which target_new takes the place of
Row = Mapping[str, Any]
RunKey = tuple[str, str, str, int]  # model, dataset, method, trial
Ks = tuple[int, ...]  # the k of every trial of a method, in the order of Method.trials


def key_of(run: Mapping[str, Any]) -> RunKey:
    """The key of a run, or of a row of one."""
    return run["model"], run["dataset"], run["method"], run["trial"]


def run_path(key: RunKey) -> str:
    """A run's path under results/: model/dataset/method/trial1."""
    return "{}/{}/{}/trial{}".format(*key)


def file_of(key: RunKey, files: Mapping[RunKey, Any], what: str) -> Any:
    """The file or files of a run; InputError where none `what` says is given."""
    if key not in files:
        raise InputError(f"{run_path(key)}: {what} given")
    return files[key]


@dataclass(frozen=True)
class Edited:
    """What the trials of a method, and the lines of tables that show it, have in common."""

    model: str
    dataset: str
    format: str
    method: str
    algorithm: str
    assisted: bool
    prefixed: bool
    protocol: str
    edits: int

    @property
    def kind(self) -> str:
        """Which of the paper's two datasets its dataset is like: zsre (questions), or counterfact."""
        return "zsre" if self.format in QUESTIONS else "counterfact"

    @property
    def path(self) -> tuple[str, str, str]:
        """Names the method in the whole experiment."""
        return self.model, self.dataset, self.method

    @property
    def place(self) -> tuple[str, str]:
        """What may stand in one panel of a figure: the same model and dataset."""
        return self.model, self.dataset

    @property
    def block(self) -> tuple[str, str, int]:
        """What may stand under one unedited model: the same number of edits of a dataset."""
        return self.model, self.dataset, self.edits


COMMON = tuple(field.name for field in fields(Edited))


@dataclass(frozen=True)
class Method(Edited):
    """The trials of one method, ascending: {trial: {k: row of "runs"}}."""

    entry: int
    trials: dict[int, dict[int, Row]]

    @property
    def identity(self) -> dict[str, Any]:
        """What rows over its trials begin with."""
        names = ("model", "dataset", "method", "algorithm", "protocol", "edits")
        return {name: getattr(self, name) for name in names}

    @property
    def edited(self) -> bool:
        """Whether every trial edited something."""
        return min(self.ends) > 0

    @property
    def ends(self) -> Ks:
        """The last k of every trial."""
        return tuple(max(rows) for rows in self.trials.values())

    @property
    def last(self) -> int:
        """The largest k that any trial reached."""
        return max(self.ends)

    def at(self, k: int) -> Ks:
        """Every trial at k; one that has ended before stands where it ended."""
        return tuple(min(k, end) for end in self.ends)

    def values(self, measure: str, ks: Ks) -> list[float | None]:
        """A measure of every trial at its own k."""
        return [rows[k][measure] for rows, k in zip(self.trials.values(), ks, strict=True)]

    def mean(self, measure: str, ks: Ks) -> float | None:
        """Mean over the trials; None if any of them did not measure it. Infinity and NaN survive."""
        values = self.values(measure, ks)
        return None if None in values else sum(values) / len(values)

    def iterations(self) -> list[list[Row]]:
        """The rows of every trial for k = 1, 2, .... Raises InputError where a k is missing."""
        for trial, rows in self.trials.items():
            lacking = next((k for k in range(1, max(rows)) if k not in rows), None)
            if lacking:
                raise InputError(f"{run_path((*self.path, trial))}: lacks k = {lacking}")
        return [[rows[k] for k in range(1, max(rows) + 1)] for rows in self.trials.values()]

    def met(self) -> list[bool]:
        """Whether the proposed rule stops each trial."""
        return [found for _, found in map(selected, self.iterations())]

    def choice(self) -> tuple[Ks, str]:
        """The k where the proposed rule stops each trial, the last where it does not, and their role."""
        iterations = self.iterations()
        ks = tuple(selected(rows)[0] for rows in iterations)
        measured = any(row["delta_p"] is not None for rows in iterations for row in rows)
        return ks, "selected" if all(self.met()) else "last" if measured else "unjudged"

    def stops(self) -> dict[Ks, str]:
        """The k that a stopping rule keeps where it stops every trial, each with the first such rule."""
        found: dict[Ks, str] = {}
        courses = [[[row[name] for row in rows] for name in GAPS] for rows in self.iterations()]
        for rule in STOPPING_RULES:
            kept = [met(rule, *course) for course in courses]
            if None not in kept:
                found.setdefault(tuple(kept), rule)
        return _ascending(found)


@dataclass(frozen=True)
class Shown:
    """One line of a table: a method, the k of each of its trials (0 is the unedited model), and the role."""

    method: Method
    ks: Ks
    role: str

    @property
    def k(self) -> int:
        """The largest k of a trial."""
        return max(self.ks)

    @property
    def k_min(self) -> int:
        """The smallest one: the same, unless trials stand at different k."""
        return min(self.ks)

    @property
    def runs(self) -> dict[RunKey, int]:
        """The runs that the line is the mean of, each with its k."""
        return {(*self.method.path, trial): k for trial, k in zip(self.method.trials, self.ks, strict=True)}


def methods_of(runs: Sequence[Row]) -> list[Method]:
    """The methods in order of appearance."""
    found = []
    for rows in grouped(runs, itemgetter("model", "dataset", "method")).values():
        common = {name: rows[0][name] for name in (*COMMON, "entry")}
        trials = grouped(sorted(rows, key=itemgetter("trial")), itemgetter("trial"))
        by_k = {trial: {row["k"]: row for row in own} for trial, own in trials.items()}
        found.append(Method(**common, trials=by_k))
    return found


def with_edits(methods: Sequence[Method]) -> list[Method]:
    """The methods every trial of which edited something."""
    return [method for method in methods if method.edited]


def plain_form(method: Method, methods: Sequence[Method]) -> Method | None:
    """Which of the plain methods with its algorithm and protocol an assisted one is compared with."""
    alike = (method.block, method.algorithm, method.protocol)
    rivals = [m for m in methods if not m.assisted and (m.block, m.algorithm, m.protocol) == alike]

    def nearness(other: Method) -> tuple[int, bool]:
        # na_memit_large belongs to memit_large where there is a memit as well
        return len(other.method) * method.method.endswith(other.method), other.entry == method.entry

    return max(rivals, key=nearness, default=None)


def iterative(methods: Sequence[Method], kind: str | None = None) -> list[Method]:
    """The methods of the entries without neighbor assistance, for datasets of one kind or of both.

    A model that has no such entry on datasets of a kind is shown by the plain methods of its other entries.
    """
    mixed = _mixed(methods)
    covered = {(method.model, method.kind) for method in methods if method.entry not in mixed}
    return [
        method
        for method in methods
        if kind in (None, method.kind)
        and not method.assisted
        and (method.entry not in mixed or (method.model, method.kind) not in covered)
    ]


def assisted(methods: Sequence[Method], prefixed: bool = False) -> list[Method]:
    """Each plain method followed by its assisted forms without a prefix, from the blocks that have one; with
    `prefixed` by those with and without one, from the blocks that have one with. Only of entries that assist;
    methods without a counterpart stay in their place."""
    mixed = _mixed(methods)
    wanted = {m.block for m in methods if m.assisted and m.prefixed == prefixed}
    shown = [m for m in methods if m.entry in mixed and m.block in wanted and (prefixed or not m.prefixed)]

    def place(method: Method) -> tuple[int, bool, bool]:
        leader = plain_form(method, shown[::-1]) if method.assisted else None
        return shown.index(leader or method), method.assisted, method.prefixed

    return sorted(shown, key=place)


def stopped(methods: Sequence[Method]) -> list[Method]:
    """The iterative methods that meet the proposed rule in every trial."""
    return [m for m in with_edits(iterative(methods)) if all(m.met())]


def never_stopped(methods: Sequence[Method]) -> list[Method]:
    """The iterative methods that meet it in no trial, as far as is known."""
    return [m for m in with_edits(iterative(methods)) if not any(m.met()) and m.choice()[1] == "last"]


def partly_stopped(methods: Sequence[Method]) -> list[Method]:
    """The iterative methods that meet it in some trials alone."""
    return [m for m in with_edits(iterative(methods)) if any(m.met()) and not all(m.met())]


def at_selected(method: Method) -> dict[Ks, str]:
    """{ks: role} of the k where the proposed rule stops each trial, or of its last."""
    return dict([method.choice()])


def at_first_and_selected(method: Method) -> dict[Ks, str]:
    """The same and the first iteration, one line where they coincide."""
    return {method.at(1): "first"} | at_selected(method)


def at_every(method: Method) -> dict[Ks, str]:
    """Every k, the first and the selected one marked."""
    return _ascending(_iterations(method) | at_first_and_selected(method))


def at_every_stop(method: Method) -> dict[Ks, str]:
    """Every k, those at which a stopping rule stops marked."""
    return _ascending(_iterations(method) | method.stops())


def table_lines(
    methods: Sequence[Method], at: Callable[[Method], Mapping[Ks, str]], unedited: bool = True
) -> list[Shown]:
    """The lines block by block: the unedited model if asked for, then every method at its k.

    A method that nothing was edited with has none.
    """
    result: list[Shown] = []
    for members in grouped(methods, attrgetter("block")).values():
        if unedited:
            result += [Shown(method, method.at(0), "unedited") for method in _unedited(members)]
        for method in with_edits(members):
            result += [Shown(method, ks, role) for ks, role in at(method).items()]
    return result


def _iterations(method: Method) -> dict[Ks, str]:
    """The method after k = 1, 2, ... iterations, up to the last of any trial."""
    return {method.at(k): "iteration" for k in range(1, method.last + 1)}


def _ascending(lines: Mapping[Ks, str]) -> dict[Ks, str]:
    """By the largest k; trials that share it come before those that only reach up to it."""
    return dict(sorted(lines.items(), key=lambda line: (max(line[0]), -min(line[0]))))


def _mixed(methods: Sequence[Method]) -> set[int]:
    """The entries with an assisted method."""
    return {method.entry for method in methods if method.assisted}


def _unedited(members: Sequence[Method]) -> list[Method]:
    """Whose unedited model heads a block: one method's, unless their protocols measure it differently.

    A method that edits one by one lends it last: its p(theta_1, h) is measured between edits.
    """

    def lent_last(method: Method) -> bool:
        return ALGORITHMS[method.algorithm.partition("+")[0]].one_by_one

    return [min(alike, key=lent_last) for alike in grouped(members, attrgetter("protocol")).values()]
