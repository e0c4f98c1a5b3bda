"""The paper's claims as paired differences: iterated against edited once, assisted against plain; others.

Both sides are judged on the same cases and prompts, so the interval of a difference is narrower than those of
its sides and says by itself whether there is one.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from operator import attrgetter
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from reedit.evaluate.measures import KINDS, METRICS, measure, paired_intervals
from reedit.report.rows.groups import grouped
from reedit.report.rows.lines import Method, RunKey, Shown, methods_of, plain_form, with_edits
from reedit.report.rows.runs import known
from reedit.storage import parquet
from reedit.storage.schemas import MEASURES

Row = dict[str, Any]
RunAtK = tuple[RunKey, int]
SAID = ("exact", "contains")  # kinds of what models say themselves


@dataclass(frozen=True)
class Judged:
    """The scored cases of one run at one k: their ids, ascending, and means [cases, metrics, kinds]."""

    cases: np.ndarray
    values: np.ndarray

    def agrees(self, other: "Judged") -> bool:
        """Whether cases and values are the same."""
        return np.array_equal(self.cases, other.cases) and np.array_equal(
            self.values, other.values, equal_nan=True
        )


def difference_rows(
    runs: Sequence[Mapping[str, Any]],
    judged: Mapping[RunAtK, Judged],
    seed: int,
    kinds: Sequence[str] = KINDS,
    against: Mapping[str, str] | None = None,
) -> list[Row]:
    """Rows of schema "differences", one per comparison and measure, (model, dataset) by (model, dataset).

    `judged`: by teacher forcing (judged_cases), or by what models say themselves (judged_answers), whose two
    `kinds` are others.

    Each method where the proposed rule stops against its first iteration, and against the one of its highest
    score where that is a third one; then each assisted method against its plain one, and each against the one
    that `against` names by method, after one iteration and where the rule stops them. What was not scored at
    a k is not compared there.
    """
    result: list[Row] = []
    number = 0
    for members in grouped(with_edits(methods_of(runs)), attrgetter("block")).values():
        chosen = {method.path: selected(method) for method in members}
        pairs = [
            ("iteration", side, Shown(side.method, side.method.at(1), "first"))
            for side in chosen.values()
            if side.k > 1
        ]
        for side in chosen.values():
            highest = _highest(side, judged)
            if highest and highest.ks not in (side.ks, side.method.at(1)):  # k = 1 is held against it above
                pairs.append(("stopping", side, highest))
        others = [("assistance", *pair) for pair in assisted_pairs(members, judged)]
        others += [("method", *pair) for pair in named_pairs(members, judged, against or {})]
        for comparison, *methods in others:
            sides = [chosen[method.path] for method in methods]
            once = [Shown(method, method.at(1), "first") for method in methods]
            if any(side.ks != first.ks for side, first in zip(sides, once, strict=True)):
                pairs.append((comparison, *once))
            pairs.append((comparison, *sides))
        for comparison, ours, theirs in pairs:
            rows = _comparison_rows(ours, theirs, judged, seed)
            for row in rows:
                name, _, kind = row["measure"].rpartition("_")
                named = {"measure": f"{name}_{kinds[KINDS.index(kind)]}"}
                result.append({"row": number, "comparison": comparison} | row | named)
            number += bool(rows)
    return result


def judged_cases(cases: pa.Table) -> dict[RunAtK, Judged]:
    """The scored cases of each run and k, from rows of schema "cases"."""
    frame = cases.to_pandas()
    measures = [f"{metric}_{kind}" for metric in METRICS for kind in KINDS]
    frame = frame[frame[measures].notna().any(axis=1)].sort_values("case_id")
    result = {}
    for key, rows in frame.groupby(["model", "dataset", "method", "trial", "k"], sort=False):
        values = rows[measures].to_numpy().reshape(len(rows), len(METRICS), len(KINDS))
        result[key[:4], key[4]] = Judged(rows["case_id"].to_numpy(), values)
    return result


def judged_answers(files: Mapping[RunKey, Path | str]) -> dict[RunAtK, Judged]:
    """What the cases of each run and k say themselves, as exact and contains, from files of "generations"."""
    result = {}
    for run, path in files.items():
        frame = parquet.read_complete(path, "generations").to_pandas()
        means = frame.groupby(["k", "case_id", "metric"])[list(SAID)].mean().unstack("metric")
        means = means.reindex(columns=[(kind, metric) for metric in METRICS for kind in SAID])
        for k, rows in means.groupby(level="k"):
            values = rows.to_numpy(dtype=float).reshape(len(rows), len(METRICS), len(SAID))
            result[run, k] = Judged(rows.index.get_level_values("case_id").to_numpy(), values)
    return result


def assisted_pairs(methods: Sequence[Method], judged: Mapping[RunAtK, Judged]) -> list[tuple[Method, Method]]:
    """Each assisted method with its plain form, of those that were judged on the same cases and prompts.

    Methods of one entry are; those of another one are if the unedited model's measures are the same there.
    """
    pairs = []
    for method in (method for method in methods if method.assisted):
        alike = [m for m in methods if _judged_alike(method, m, judged)]
        if plain := plain_form(method, alike):
            pairs.append((method, plain))
    return pairs


def named_pairs(
    methods: Sequence[Method], judged: Mapping[RunAtK, Judged], against: Mapping[str, str]
) -> list[tuple[Method, Method]]:
    """Each method with the one that `against` names, of those judged on the same cases and prompts."""
    by_name = {method.method: method for method in methods}
    pairs = [(one, by_name[against[one.method]]) for one in methods if against.get(one.method) in by_name]
    return [(one, other) for one, other in pairs if _judged_alike(one, other, judged)]


def selected(method: Method) -> Shown:
    """The method where the proposed rule stops its trials, else at their last iteration."""
    return Shown(method, *method.choice())


def _highest(chosen: Shown, judged: Mapping[RunAtK, Judged]) -> Shown | None:
    """The method at each trial's k of the highest score (of the first kind), at the chosen one where no other
    is higher; None where a trial has none. No rule could know it: it is found by what it is compared by."""
    method, ks = chosen.method, []
    for (run, own), rows in zip(chosen.runs.items(), method.trials.values(), strict=True):
        judged_ks = [k for k in sorted(rows) if k > 0 and (run, k) in judged]
        scores = {k: _score(judged[run, k], k, method.protocol) for k in judged_ks}
        if not (scored := [k for k, score in scores.items() if not np.isnan(score)]):
            return None
        ks.append(max(scored, key=lambda k: (scores[k], k == own)))
    return Shown(method, tuple(ks), "highest")


def _score(side: Judged, k: int, protocol: str) -> float:
    """The score of the first kind, NaN where one of its metrics has no case."""
    return measure(side.values, k, protocol, rounded=False)[MEASURES.index(f"score_{KINDS[0]}")]


def _judged_alike(method: Method, other: Method, judged: Mapping[RunAtK, Judged]) -> bool:
    if method.entry == other.entry:
        return True
    pairs = [
        (judged.get(((*method.path, trial), 0)), judged.get(((*other.path, trial), 0)))
        for trial in method.trials.keys() & other.trials.keys()
    ]
    return bool(pairs) and all(ours and theirs and ours.agrees(theirs) for ours, theirs in pairs)


def _comparison_rows(ours: Shown, theirs: Shown, judged: Mapping[RunAtK, Judged], seed: int) -> list[Row]:
    """One row per measure; none where a trial was not scored on both sides."""
    others = {run[3]: (run, k) for run, k in theirs.runs.items()}
    keys = [((run, k), others[run[3]]) for run, k in ours.runs.items() if run[3] in others]
    if not keys or any(key not in judged for pair in keys for key in pair):
        return []
    samples = [_paired(judged[mine], judged[other]) for mine, other in keys]
    if any(len(values) == 0 for values, _ in samples):
        return []
    means, bounds = paired_intervals(samples, ours.method.protocol, seed)
    shared = ours.method.identity
    for prefix, side in (("", ours), ("reference_", theirs)):
        shared |= {f"{prefix}k": side.k, f"{prefix}k_min": side.k_min, f"{prefix}role": side.role}
    shared |= {
        "reference": theirs.method.method,
        "trials": len(keys),
        "pairs": sum(len(values) for values, _ in samples),
    }
    return [
        shared | {"measure": name, "mean": known(mean), "low": known(low), "high": known(high)}
        for name, mean, (low, high) in zip(MEASURES, means, bounds, strict=True)
    ]


def _paired(ours: Judged, theirs: Judged) -> tuple[np.ndarray, np.ndarray]:
    """The values of the cases that both sides have."""
    _, mine, other = np.intersect1d(ours.cases, theirs.cases, assume_unique=True, return_indices=True)
    return ours.values[mine], theirs.values[other]
