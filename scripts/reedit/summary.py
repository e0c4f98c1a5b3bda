"""From one run's files to rows of "runs", and from those to the rows of the paper's Tables 1 and 2.

A run is one trial of one method. Its k counts the edits made to the model: k = 0 is the unedited one, and
row k of its iterations is the edit that produced theta_{k+1}, the model that row k of its scores judges.
"""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from reedit import parquet
from reedit.errors import InputError
from reedit.measures import PROTOCOLS, case_means, intervals, measure
from reedit.stopping import choose

IDENTITY = ("entry", "model", "dataset", "format", "method", "algorithm", "assisted", "prefixed", "trial")
PERPLEXITIES = ("ppl_initial", "ppl_target", "ppl_edited", "delta_p", "delta_p2")
Row = dict[str, Any]
RunKey = tuple[str, str, str, int]  # model, dataset, method, trial


def run_rows(
    identity: Mapping[str, Any],
    scores_path: Path | str,
    collapse_path: Path | str,
    iterations_path: Path | str,
    protocol: str,
    edits: int,
) -> list[Row]:
    """One run's rows of schema "runs", one per k; a measure that was not taken is None.

    `identity` holds the columns of IDENTITY (further keys are ignored). Raises InputError for an unknown
    protocol, a run without the unedited model's scores, or an edited model without its iteration.
    """
    if protocol not in PROTOCOLS:
        raise InputError(f"protocol: unknown value {protocol!r}, expected one of {', '.join(PROTOCOLS)}")
    cases = case_means(scores_path)
    if 0 not in cases:
        raise InputError(f"{scores_path}: no rows for k = 0 (the unedited model)")
    column = "ppl" if protocol == "corrected" else "ppl_released"
    texts: dict[int, list[float]] = {}
    for row in parquet.read(collapse_path, "collapse"):
        texts.setdefault(row["k"], []).append(row[column])
    iterations = {row["k"]: row for row in parquet.read(iterations_path, "iterations")}
    result = []
    for k in sorted(cases.keys() | iterations.keys()):
        if k > 0 and k not in iterations:
            raise InputError(f"{iterations_path}: no row for k = {k}, which {scores_path} has scores of")
        means: list[float | None] = [None] * len(parquet.MEASURES)  # of a k whose weights were not kept
        if k in cases:
            values = measure(cases[k], k, protocol).tolist()
            means = [None if math.isnan(value) else value for value in values]
        perplexities = {name: iterations[k][name] if k > 0 else None for name in PERPLEXITIES}
        result.append(
            {name: identity[name] for name in IDENTITY}
            | {"protocol": protocol, "k": k, "edits": edits, "me_ppl": mean(texts.get(k, []))}
            | dict(zip(parquet.MEASURES, means, strict=True))
            | perplexities
        )
    return result


def iterative_rows(runs: Sequence[Row], scores: Mapping[RunKey, Path | str], seed: int) -> list[Row]:
    """Table 1 (schema "table"): each method after one iteration and where the proposed rule stops.

    Takes the entries without neighbor assistance; a (model, dataset) that has none is shown by the
    plain methods of its other entries. `scores` has every run's score file, for the bootstrap.
    """
    methods = _methods(runs)
    mixed = _mixed(methods)
    covered = {(method.model, method.dataset) for method in methods if method.entry not in mixed}
    shown = [
        method
        for method in methods
        if not method.assisted
        and (method.entry not in mixed or (method.model, method.dataset) not in covered)
    ]
    return _rows(shown, scores, seed, first=True)


def assisted_rows(runs: Sequence[Row], scores: Mapping[RunKey, Path | str], seed: int) -> list[Row]:
    """Table 2 (schema "table"): each method beside its neighbor-assisted counterparts, both where the
    proposed rule stops. Takes the entries with an assisted method; empty if there is none."""
    methods = _methods(runs)
    mixed = _mixed(methods)
    shown = [method for method in methods if method.entry in mixed]
    return _rows(_paired(shown), scores, seed, first=False)


def mean(values: Iterable[float | None]) -> float | None:
    """The mean; None of nothing or if any value is None. Infinity and NaN survive."""
    known = list(values)
    return None if not known or None in known else sum(known) / len(known)


@dataclass(frozen=True)
class _Method:
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
    def block(self) -> tuple[str, str, int]:
        """What may stand under one unedited model: the same number of edits of a dataset."""
        return self.model, self.dataset, self.edits

    def choice(self) -> tuple[int, bool]:
        """The k of the proposed rule on the means over trials of delta_p, as far as every trial went."""
        last = min(max(rows) for rows in self.trials.values())
        values = []
        for k in range(1, last + 1):
            if any(k not in rows for rows in self.trials.values()):
                raise InputError(f"{self.model}/{self.dataset}/{self.method}: a trial lacks k = {k}")
            value = mean(rows[k]["delta_p"] for rows in self.trials.values())
            values.append(math.nan if value is None else value)
        return choose("proposed", values, [])

    @property
    def unmet(self) -> str:
        """The role of the last k: the criterion was not met, or nobody knows, as delta_p was not measured."""
        gaps = [row["delta_p"] for rows in self.trials.values() for k, row in rows.items() if k > 0]
        return "unjudged" if None in gaps else "last"


def _methods(runs: Sequence[Row]) -> list[_Method]:
    """The methods in order of appearance."""
    found: dict[tuple, _Method] = {}
    for row in runs:
        key = (row["entry"], row["model"], row["dataset"], row["method"])
        if key not in found:
            shared = [name for name in _Method.__dataclass_fields__ if name != "trials"]
            found[key] = _Method(**{name: row[name] for name in shared}, trials={})
        found[key].trials.setdefault(row["trial"], {})[row["k"]] = row
    return list(found.values())


def _mixed(methods: Sequence[_Method]) -> set[int]:
    """The entries with an assisted method."""
    return {method.entry for method in methods if method.assisted}


def _paired(methods: Sequence[_Method]) -> list[_Method]:
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
    order = sorted(range(len(methods)), key=lambda p: (leader[p], methods[p].assisted, p))
    return [methods[position] for position in order]


def _rows(
    methods: Sequence[_Method], scores: Mapping[RunKey, Path | str], seed: int, first: bool
) -> list[Row]:
    """The table's rows, block by block: the unedited model, then every method at its k."""
    methods = list({(m.model, m.dataset, m.method): m for m in methods}.values())
    result: list[Row] = []
    number = 0
    for block in dict.fromkeys(method.block for method in methods):
        members = [method for method in methods if method.block == block]
        # methods share the unedited row, unless their protocols measure it differently
        unedited = {method.protocol: method for method in reversed(members)}
        plan = [(method, 0, "unedited") for method in members if method is unedited[method.protocol]]
        for method in members:
            if max(max(rows) for rows in method.trials.values()) == 0:
                continue  # nothing was edited
            k, reached = method.choice()
            if first and k > 1:
                plan.append((method, 1, "first"))
            plan.append((method, k, "selected" if reached else method.unmet))
        files: dict[RunKey, dict[int, np.ndarray]] = {}
        for method, k, role in plan:
            result += _table_rows(method, k, role, number, scores, files, seed)
            number += 1
    return result


def _table_rows(
    method: _Method,
    k: int,
    role: str,
    number: int,
    scores: Mapping[RunKey, Path | str],
    files: dict[RunKey, dict[int, np.ndarray]],
    seed: int,
) -> list[Row]:
    """One table row as one row of schema "table" per measure; `files` keeps what was read."""
    trials = sorted(method.trials)
    samples = []
    for trial in trials:
        key = (method.model, method.dataset, method.method, trial)
        if key not in scores:
            raise InputError(f"{'/'.join(key[:3])}/trial{trial}: no score file was given")
        if key not in files:
            files[key] = case_means(scores[key])
        if k in files[key]:
            samples.append(files[key][k])
    bounds: dict[str, list[float]] = {}
    if len(samples) == len(trials):  # otherwise weights of this k were not kept, and nothing was scored
        found = intervals(samples, k, method.protocol, seed).tolist()
        bounds = dict(zip(parquet.MEASURES, found, strict=True))
    name = "unedited" if k == 0 else method.method
    common = {
        "row": number,
        "model": method.model,
        "dataset": method.dataset,
        "format": method.format,
        "method": name,
        "algorithm": "unedited" if k == 0 else method.algorithm,
        "assisted": method.assisted and k > 0,
        "prefixed": method.prefixed and k > 0,
        "protocol": method.protocol,
        "k": k,
        "role": role,
        "edits": method.edits,
        "trials": len(trials),
    }
    result = []
    for measured in [*parquet.MEASURES, "me_ppl", *PERPLEXITIES]:
        values = [method.trials[trial][k][measured] for trial in trials]
        low, high = bounds.get(measured, (math.nan, math.nan))
        spread = None
        if len(values) > 1 and all(value is not None and math.isfinite(value) for value in values):
            spread = float(np.std(values, ddof=1))
        result.append(
            common
            | {"measure": measured, "mean": mean(values), "spread": spread}
            | {"low": None if math.isnan(low) else low, "high": None if math.isnan(high) else high}
        )
    return result
