"""The paper's claims as paired differences: iterated against edited once, assisted against plain.

Both sides are judged on the same cases and prompts, so the interval of a difference is narrower than those of
its sides and says by itself whether there is one.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa

from reedit.evaluate.measures import KINDS, METRICS, paired_intervals
from reedit.report.rows.lines import Method, RunKey, Shown, methods_of
from reedit.storage.schemas import MEASURES

Row = dict[str, Any]
RunAtK = tuple[RunKey, int]


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


def difference_rows(runs: Sequence[Mapping[str, Any]], cases: pa.Table, seed: int) -> list[Row]:
    """Rows of schema "differences", one per comparison and measure, (model, dataset) by (model, dataset).

    Each method where the proposed rule stops against its first iteration, then each assisted method against
    its plain one, both where the rule stops them. What was not scored at a k is not compared there.
    """
    judged = judged_cases(cases)
    methods = _edited(runs)
    result: list[Row] = []
    number = 0
    for block in dict.fromkeys(method.block for method in methods):
        members = [method for method in methods if method.block == block]
        for comparison, ours, theirs in [*_iterated(members), *_assisted(members, methods, judged)]:
            rows = _comparison_rows(ours, theirs, judged, seed)
            result += [{"row": number, "comparison": comparison} | row for row in rows]
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


def assisted_pairs(
    runs: Sequence[Mapping[str, Any]], judged: Mapping[RunAtK, Judged]
) -> list[tuple[Method, Method]]:
    """Each assisted method and the plain one that it is compared with."""
    methods = _edited(runs)
    pairs = [(method, _plain_form(method, methods, judged)) for method in methods if method.assisted]
    return [(method, plain) for method, plain in pairs if plain]


def selected(method: Method) -> Shown:
    """The method where the proposed rule stops its trials, else at their last iteration."""
    return Shown(method, *method.choice())


def _edited(runs: Sequence[Mapping[str, Any]]) -> list[Method]:
    """The methods that edited something, one that stands in several entries once."""
    return list({method.path: method for method in methods_of(runs) if method.edited}.values())


def _iterated(methods: Sequence[Method]) -> Iterator[tuple[str, Shown, Shown]]:
    for method in methods:
        side = selected(method)
        if side.k > 1:
            yield "iteration", side, Shown(method, method.at(1), "first")


def _assisted(
    members: Sequence[Method], methods: Sequence[Method], judged: Mapping[RunAtK, Judged]
) -> Iterator[tuple[str, Shown, Shown]]:
    for method in members:
        plain = _plain_form(method, methods, judged) if method.assisted else None
        if plain:
            yield "assistance", selected(method), selected(plain)


def _plain_form(method: Method, methods: Sequence[Method], judged: Mapping[RunAtK, Judged]) -> Method | None:
    """The plain method with the same algorithm and protocol that was judged on the same cases and prompts.

    Methods of one entry are; those of another one are if the unedited model's measures are the same there.
    """
    rivals = [
        other
        for other in methods
        if not other.assisted
        and (other.block, other.algorithm, other.protocol)
        == (method.block, method.algorithm, method.protocol)
        and (other.entry == method.entry or _judged_alike(method, other, judged))
    ]
    # na_memit_large belongs to memit_large where there is a memit as well
    return max(
        rivals,
        key=lambda other: (
            len(other.method) * method.method.endswith(other.method),
            other.entry == method.entry,
        ),
        default=None,
    )


def _judged_alike(method: Method, other: Method, judged: Mapping[RunAtK, Judged]) -> bool:
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
    shared = {
        "model": ours.method.model,
        "dataset": ours.method.dataset,
        "algorithm": ours.method.algorithm,
        "protocol": ours.method.protocol,
        "edits": ours.method.edits,
        "method": ours.method.method,
        "k": ours.k,
        "k_min": ours.k_min,
        "role": ours.role,
        "reference": theirs.method.method,
        "reference_k": theirs.k,
        "reference_k_min": theirs.k_min,
        "reference_role": theirs.role,
        "trials": len(keys),
        "pairs": sum(len(values) for values, _ in samples),
    }
    return [
        shared | {"measure": measure} | {name: _or_none(v) for name, v in statistics.items()}
        for measure, mean, (low, high) in zip(MEASURES, means, bounds, strict=True)
        for statistics in [{"mean": mean, "low": low, "high": high}]
    ]


def _paired(ours: Judged, theirs: Judged) -> tuple[np.ndarray, np.ndarray]:
    """The values of the cases that both sides have."""
    _, mine, other = np.intersect1d(ours.cases, theirs.cases, assume_unique=True, return_indices=True)
    return ours.values[mine], theirs.values[other]


def _or_none(value: float) -> float | None:
    return None if np.isnan(value) else float(value)
