"""What norms say of each method and k: whether it needs more SPREAD, or is blowing up.

A residual that SPREAD leaves large while the weights hardly grow asks for another iteration; weights whose
norm or condition number leaves that of the unedited ones behind are about to forget everything else.
"""

import math
from collections.abc import Mapping, Sequence
from operator import itemgetter
from pathlib import Path
from statistics import fmean
from typing import Any, NamedTuple

from reedit.errors import InputError
from reedit.report.rows.groups import grouped
from reedit.report.rows.lines import RunKey, file_of, methods_of, with_edits
from reedit.report.rows.runs import Row, mean
from reedit.storage import parquet

GROWTH = 1.5  # times the unedited weights' norm: more is blowing up
CONDITION = 10.0  # times their condition number: likewise
RESIDUAL = 0.1  # of ||h||: more that SPREAD leaves asks for more SPREAD
BLOWING_UP, MORE_SPREAD, SETTLED = "blowing up", "more SPREAD", "settled"
MEASURES = ("update_norm", "growth", "condition", "condition_growth", "residual_before", "residual_after")
RESIDUALS = ("residual_before", "residual_after")
Measured = dict[str, float | None]  # by the names of MEASURES


class NormFiles(NamedTuple):
    """The files of one run that tell of its norms."""

    norms: Path | str
    iterations: Path | str
    targets: Path | str


def norm_summary_rows(runs: Sequence[Mapping[str, Any]], files: Mapping[RunKey, NormFiles]) -> list[Row]:
    """Rows of schema "norm_summary", k from 0, method by method in the order of `runs` (schema "runs").

    Raises InputError for a run whose files were not given or without the unedited model's norms.
    """
    result = []
    for method in with_edits(methods_of(runs)):
        keys = [(*method.path, trial) for trial in method.trials]
        courses = [run_course(file_of(key, files, "no norms were")) for key in keys]
        for k in range(method.last + 1):
            ks = method.at(k)
            here = [course[own] for course, own in zip(courses, ks, strict=True)]
            found = {name: mean(one[name] for one in here) for name in MEASURES}
            judged = (found[name] for name in ("growth", "condition_growth", "residual_after"))
            result.append(
                method.identity
                | {"trials": len(courses), "k": k, "k_min": min(ks)}
                | found
                | {"reading": reading(*judged) if k > 0 else None}
            )
    return result


def run_course(files: NormFiles) -> dict[int, Measured]:
    """The measures of one run by k from 0; None where one was not taken, as where weights were not kept.

    Growth and condition are those of the layer in which they are largest. Residuals are the mean over the
    cases that were not dropped.
    """
    layers = grouped(parquet.read_complete(files.norms, "norms").to_pylist(), itemgetter("k"))
    if 0 not in layers:
        raise InputError(f"{files.norms}: no rows for k = 0 (the unedited model)")
    unedited = {row["layer"]: row for row in layers[0]}
    course: dict[int, Measured] = {0: dict.fromkeys(MEASURES)}
    for row in parquet.read(files.iterations, "iterations"):
        course[row["k"]] = dict.fromkeys(MEASURES) | {"update_norm": row["update_norm"]}
    for k in course.keys() & layers.keys():
        course[k] |= {
            name: _largest(row[of] / unedited[row["layer"]][of] for row in layers[k])
            for name, of in (("growth", "weight_norm"), ("condition_growth", "condition"))
        }
        course[k]["condition"] = _largest(row["condition"] for row in layers[k])
    for k, rows in grouped(parquet.read(files.targets, "targets"), itemgetter("k")).items():
        course[k] |= {name: _mean_share(rows, name) for name in RESIDUALS}
    return course


def reading(growth: float | None, condition_growth: float | None, residual_after: float | None) -> str | None:
    """BLOWING_UP, MORE_SPREAD or SETTLED by the thresholds above; None where it was not measured.

    An aid to reading, not a test: what is not finite counts as blowing up.
    """
    found = (growth, condition_growth, residual_after)
    if any(value is not None and not math.isfinite(value) for value in found):
        return BLOWING_UP
    if growth is not None and condition_growth is not None:
        if growth > GROWTH or condition_growth > CONDITION:
            return BLOWING_UP
        if residual_after is not None:
            return MORE_SPREAD if residual_after > RESIDUAL else SETTLED
    return None


def _largest(values: Any) -> float:
    """The maximum; NaN if any value is."""
    known = list(values)
    return math.nan if any(map(math.isnan, known)) else max(known)


def _mean_share(rows: Sequence[Mapping[str, float | None]], name: str) -> float | None:
    """Mean over the cases of a residual by ||h||: None if not told (EasyEdit), NaN if all were dropped."""
    if any(row[name] is None or row["hidden_norm"] is None for row in rows):
        return None
    kept = [row[name] / row["hidden_norm"] for row in rows if math.isfinite(row["ppl_target"])]
    return fmean(kept) if kept else math.nan
