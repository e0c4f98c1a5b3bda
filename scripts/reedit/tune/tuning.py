"""Tuning in four parts, the cheap ones first: layers, OPTIMIZATION, SPREAD, and facts that none of them saw.

    rows = Tuning(bench, objective, budget, folder, seed).run(windows, held_out, current)

Each attempt is a row of the schema ``tuning``; what is finished is in `folder` and is not done again.
"""

import json
import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from reedit.errors import InputError
from reedit.evaluate.measures import METRICS, intervals, paired_intervals
from reedit.methods.tunable import Tunable, tunable
from reedit.storage.files import write_text
from reedit.storage.provenance import digest
from reedit.storage.schemas import MEASURES
from reedit.tune.bench import Bench, Targets
from reedit.tune.budget import Budget
from reedit.tune.objective import Objective, means_of
from reedit.tune.search import Search
from reedit.tune.settings import FOUND

# up to which share of the budget each part may go
LAYERS, OPTIMIZATION, SPREAD = 0.3, 0.65, 0.8
AT_MOST = {"optimization": 40, "spread": 80}  # attempts: a machine that is fast does not go on for its sake
FRUITLESS = 12  # attempts without one that comes to something
TARGETS = 5  # of OPTIMIZATION, that SPREAD is tried with

Row = dict[str, Any]


@dataclass
class Tuning:
    """One algorithm on one model; `bench` has the facts that are searched with."""

    bench: Bench
    objective: Objective
    budget: Budget
    folder: Path
    seed: int

    def run(
        self, windows: Sequence[list[int]], held_out: Bench, current: Mapping[str, Any] | None
    ) -> list[Row]:
        """All rows; the last ones, of facts held out, tell what was found and what else there is.

        `windows`: the layers that are compared; `current`: hyperparameters in use until now, if any.
        """
        best, rows = self.choose_layers(windows)
        optimized = self.optimize(best["layers"]) if self.keys.optimization else []
        spread, chosen = self.spread(best, optimized)
        return [*rows, *optimized, *spread, *self.look(held_out, chosen, current)]

    @property
    def keys(self) -> Tunable:
        """What may be tuned of the algorithm."""
        return tunable(self.bench.algorithm)

    def choose_layers(self, windows: Sequence[list[int]]) -> tuple[dict[str, Any], list[Row]]:
        """The values of the window whose edits are best, and a row for each window.

        Published values are tried, with a few of what SPREAD reads.
        """
        rows, keys = self._kept("layers"), self.keys
        left = [layers for layers in windows if layers not in [row["layers"] for row in rows]]
        for layers in left:
            begun = self.budget.spent_seconds
            if rows and not self.budget.allows(LAYERS, self._longest(rows), len(self.bench.edits)):
                break
            if layers == left[0]:
                with self.budget.spending():
                    self.bench.prepare(left, keys.start)
            with self.budget.spending(len(self.bench.edits)):
                values = {"layers": layers, **keys.start}
                targets = self._optimized(values)
                tried = [{**values, **some} for some in _few(keys)]
                found = [row for one in tried if (row := self._spread_row("layers", one, targets))]
            if found:
                best = max(found, key=self.objective.rank)
                rows.append(
                    best | {"number": windows.index(layers), "seconds": self.budget.spent_seconds - begun}
                )
            self._keep("layers", rows)
            self.budget.tell(f"layers {layers[0]} to {layers[-1]} compared")
        if not rows:
            raise InputError("tuning: no layers could be edited with published values")
        best = max(rows, key=self.objective.rank)
        return json.loads(best["hyperparameters"]), [row | {"front": row is best} for row in rows]

    def optimize(self, layers: list[int]) -> list[Row]:
        """What OPTIMIZATION makes of its values: likely targets, by small changes, in few passes."""
        keys = self.keys
        space = {name: keys.ranges[name] for name in keys.optimization}
        goals = {"nll": "minimize", "size": "minimize", "passes": "minimize"}
        name = f"optimization {digest(layers)}"
        search = Search(self.folder / "journal", name, space, goals, self.seed)
        search.begin_with({name: keys.start[name] for name in space})
        edits = len(self.bench.edits)
        while self._goes_on("optimization", search, OPTIMIZATION, edits):
            attempt, begun = search.ask(), self.budget.spent_seconds
            values = {"layers": layers, **keys.start, **attempt.params}
            with self.budget.spending(edits):
                targets = self._optimized(values)
            row = self._row("optimization", values, self.budget.spent_seconds - begun) | targets.told
            if not np.isfinite([row[name] for name in goals]).all():
                search.give_up(attempt)
                continue
            search.tell(attempt, [row[name] for name in goals], 0.0, row)
            self.budget.tell(f"OPTIMIZATION, attempt {len(search.rows)}: nll {row['nll']:.3f}")
        if not search.rows:
            raise InputError("tuning: OPTIMIZATION has no finite outcome with any of the values tried")
        worth = {row["number"] for row in search.front}
        return [row | {"front": row["number"] in worth} for row in search.rows]

    def spread(self, best: Mapping[str, Any], optimized: Sequence[Row]) -> tuple[list[Row], dict[str, Row]]:
        """What SPREAD makes of saved targets, or without targets a whole edit of its values.

        `best`: values that did best so far, which are tried first. Also the rows by role: what was found, and
        what else stands out.
        """
        keys, edits = self.keys, 0 if optimized else len(self.bench.edits)
        targets = [dict(best)]
        if optimized:
            targets = [json.loads(row["hyperparameters"]) for row in _apart(optimized)]
        space = {"targets": targets, **{name: keys.ranges[name] for name in keys.spread}}
        goals = dict.fromkeys(self.objective.maximise, "maximize")
        name = f"spread {digest(targets)}"
        search = Search(self.folder / "journal", name, space, goals, self.seed)
        for place in range(len(targets)):
            for values in (best, keys.start):
                search.begin_with({"targets": place, **{name: values[name] for name in keys.spread}})
        every = AT_MOST["spread"] if keys.spread else len(targets)
        what = "SPREAD" if optimized else "whole edit"
        while len(search.rows) < every and self._goes_on("spread", search, SPREAD, edits):
            attempt, begun = search.ask(), self.budget.spent_seconds
            params = dict(attempt.params)
            values = {**targets[params.pop("targets")], **params}
            with self.budget.spending(edits):
                row = self._spread_row("spread", values, self._optimized(values))
            if row is None:
                search.give_up(attempt)
                continue
            row["seconds"] = self.budget.spent_seconds - begun
            search.tell(attempt, self.objective.wanted(row), self.objective.missing(row), row)
            self.budget.tell(f"{what}, attempt {len(search.rows)}: {_told(row)}")
        if not search.rows:
            raise InputError("tuning: SPREAD has no solution with any of the values tried")
        worth = {row["number"] for row in search.front}
        rows = [row | {"front": row["number"] in worth} for row in search.rows]
        return rows, roles(rows, self.objective)

    def look(
        self, held_out: Bench, chosen: Mapping[str, Row], current: Mapping[str, Any] | None
    ) -> list[Row]:
        """One whole iteration of each on facts held out, with intervals, and differences to it."""
        asked = {role: json.loads(row["hyperparameters"]) for role, row in chosen.items()}
        if current:  # the second to be looked at, where time is short
            asked = {FOUND: asked.pop(FOUND), "in use": dict(current), **asked}
        rows, scores = [], {}
        for number, (role, values) in enumerate(asked.items()):
            same = next((other for other in rows if json.loads(other["hyperparameters"]) == values), None)
            if same:
                rows.append({**same, "role": role, "number": number})
                continue
            if rows and not self.budget.allows(1.0, self._longest(rows), len(held_out.edits)):
                told = "no time is left to look at %s on facts held out"
                logging.getLogger("reedit").warning(told, role)
                continue
            begun = self.budget.spent_seconds
            with self.budget.spending(len(held_out.edits)):
                scores[number] = held_out.edit(values)
            row = self._row("held out", values, self.budget.spent_seconds - begun)
            row |= means_of(scores[number]) | _intervals(scores[number], held_out.protocol, self.seed)
            if number:
                row |= _differences(scores[number], scores[0], held_out.protocol, self.seed)
            rows.append(row | {"number": number, "role": role, "edits": len(held_out.edits)})
            self.budget.tell(f"{role}, on facts held out: {_told(row)}")
        return rows

    def _goes_on(self, part: str, search: Search, share: float, edits: int) -> bool:
        """Whether another attempt is within the budget; a first one that comes to something always is."""
        rows = search.rows
        if not rows:
            return search.made < FRUITLESS
        return len(rows) < AT_MOST[part] and self.budget.allows(share, self._longest(rows[-3:]), edits)

    def _spread_row(self, part: str, values: Mapping[str, Any], targets: Targets) -> Row | None:
        """The row of SPREAD of some targets; None where it has no solution with these values."""
        try:
            found = means_of(self.bench.spread(values, targets))
        except InputError as error:
            logging.getLogger("reedit").info("%s: %s", part, error)
            return None
        return self._row(part, values, 0.0) | targets.told | found

    def _row(self, part: str, values: Mapping[str, Any], seconds: float) -> Row:
        told = {"part": part, "layers": values["layers"], "hyperparameters": json.dumps(values)}
        return told | {"edits": len(self.bench.edits), "seconds": seconds}

    def _longest(self, rows: Sequence[Row]) -> float:
        return max(row["seconds"] for row in rows)

    def _optimized(self, values: Mapping[str, Any]) -> Targets:
        """What OPTIMIZATION makes of values, once for all that SPREAD reads of them."""
        if not self.keys.optimization:
            return self.bench.optimize(values)
        read = {key: values[key] for key in values.keys() - set(self.keys.spread)}
        path = self.folder / "targets" / f"{digest(read)}.safetensors"
        if not path.exists():
            self.bench.optimize(values).write(path)
        return Targets.read(path)

    def _kept(self, name: str) -> list[Row]:
        path = self.folder / f"{name}.json"
        return json.loads(path.read_text()) if path.exists() else []

    def _keep(self, name: str, rows: Sequence[Row]) -> None:
        write_text(self.folder / f"{name}.json", json.dumps(rows))


def roles(rows: Sequence[Row], objective: Objective) -> dict[str, Row]:
    """What was found, and of what reaches as much: the most specific, and the one of the fewest passes."""
    best = max(rows, key=lambda row: (*objective.rank(row), -row["passes"]))  # of equals the fastest
    reaching = [row for row in rows if objective.missing(row) <= max(0.0, objective.missing(best))]
    return {
        FOUND: best,
        "most specific": max(reaching, key=lambda row: np.nan_to_num(row["specificity"])),
        "fastest": min(reaching, key=lambda row: (row["passes"], *(-x for x in objective.rank(row)))),
    }


def _apart(optimized: Sequence[Row]) -> list[Row]:
    """Of OPTIMIZATION's front at most TARGETS, of different sizes, none half as likely as the best."""
    likely = min(row["nll"] for row in optimized) + np.log(2)
    front = sorted(
        (row for row in optimized if row["front"] and row["nll"] <= likely), key=lambda r: r["size"]
    )
    places = np.unique(np.linspace(0, len(front) - 1, min(TARGETS, len(front))).round().astype(int))
    return [front[place] for place in places]


def _few(keys: Tunable) -> list[dict[str, float]]:
    """A small, a middle and a large value of each that SPREAD reads; one of nothing for none."""
    parts = (0.3, 0.6, 0.9) if keys.spread else (0.0,)
    return [{name: keys.ranges[name].at(part) for name in keys.spread} for part in parts]


def _told(row: Row) -> str:
    return ", ".join(f"{metric} {100 * row[metric]:.1f}" for metric in METRICS)


def _intervals(scores: np.ndarray, protocol: str, seed: int) -> Row:
    found = intervals([scores], 1, protocol, seed)
    return {
        f"{metric}_{end}": float(found[MEASURES.index(f"{metric}_accuracy"), place])
        for metric in METRICS
        for place, end in enumerate(("low", "high"))
    }


def _differences(scores: np.ndarray, of: np.ndarray, protocol: str, seed: int) -> Row:
    """How much more than `of`, and between what bounds: both have the same facts in their places."""
    means, bounds = paired_intervals([(scores, of)], protocol, seed)
    row = {}
    for metric in METRICS:
        place = MEASURES.index(f"{metric}_accuracy")
        row |= {f"more_{metric}": float(means[place]), f"more_{metric}_low": float(bounds[place, 0])}
        row |= {f"more_{metric}_high": float(bounds[place, 1])}
    return row
