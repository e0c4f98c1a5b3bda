"""From one run's files to rows of "runs", and from the chosen ones of these to the rows of a table.

A run is one trial of one method. Its k counts the edits made to the model: k = 0 is the unedited one, and
row k of its iterations is the edit that produced theta_{k+1}, the model that row k of its scores judges.
"""

import math
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from reedit.errors import InputError
from reedit.evaluate.measures import case_means, intervals, measure
from reedit.methods.protocols import protocol_of
from reedit.report.rows.lines import Ks, Method, RunKey, Shown
from reedit.storage import parquet
from reedit.storage.schemas import MEASURES

IDENTITY = ("entry", "model", "dataset", "format", "method", "algorithm", "assisted", "prefixed", "trial")
PERPLEXITIES = ("ppl_initial", "ppl_target", "ppl_edited", "delta_p", "delta_p2")
COLLAPSE = 10  # an edited model whose ME-PPL is above so many times the unedited one's has collapsed
Row = dict[str, Any]


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
    column = protocol_of(protocol).me_ppl
    cases = case_means(scores_path)
    if 0 not in cases:
        raise InputError(f"{scores_path}: no rows for k = 0 (the unedited model)")
    texts: dict[int, list[float]] = {}
    for row in parquet.read(collapse_path, "collapse"):
        texts.setdefault(row["k"], []).append(row[column])
    iterations = {row["k"]: row for row in parquet.read(iterations_path, "iterations")}
    result = []
    for k in sorted(cases.keys() | iterations.keys()):
        if k > 0 and k not in iterations:
            raise InputError(f"{iterations_path}: no row for k = {k}, which {scores_path} has scores of")
        means: list[float | None] = [None] * len(MEASURES)  # of a k whose weights were not kept
        if k in cases:
            values = measure(cases[k], k, protocol).tolist()
            means = [None if math.isnan(value) else value for value in values]
        perplexities = {name: iterations[k][name] if k > 0 else None for name in PERPLEXITIES}
        result.append(
            {name: identity[name] for name in IDENTITY}
            | {"protocol": protocol, "k": k, "edits": edits, "me_ppl": mean(texts.get(k, []))}
            | dict(zip(MEASURES, means, strict=True))
            | perplexities
        )
    return result


class Samples:
    """The runs' score files, each read once, and the bootstrap intervals over cases, each drawn once."""

    def __init__(self, scores: Mapping[RunKey, Path | str], seed: int) -> None:
        self._scores, self._seed = scores, seed
        self._cases: dict[RunKey, dict[int, np.ndarray]] = {}
        self._intervals: dict[tuple[tuple[RunKey, int], ...], dict[str, list[float]]] = {}

    def intervals(self, line: Shown) -> dict[str, list[float]]:
        """[low, high] of each measure; nothing where a trial was not scored at its k (its weights were not
        kept). Raises InputError for a run whose score file was not given."""
        key = tuple(line.runs.items())
        if key not in self._intervals:
            trials = [self._read(run).get(k) for run, k in key]
            found: dict[str, list[float]] = {}
            if not any(cases is None for cases in trials):
                bounds = intervals(trials, line.k, line.method.protocol, self._seed)
                found = dict(zip(MEASURES, bounds.tolist(), strict=True))
            self._intervals[key] = found
        return self._intervals[key]

    def _read(self, key: RunKey) -> dict[int, np.ndarray]:
        if key not in self._scores:
            raise InputError(f"{'/'.join(key[:3])}/trial{key[3]}: no score file was given")
        if key not in self._cases:
            self._cases[key] = case_means(self._scores[key])
        return self._cases[key]


def table_rows(lines: Sequence[Shown], samples: Samples) -> list[Row]:
    """The lines of a table as rows of schema "table": one per line and measure."""
    return [row for number, line in enumerate(lines) for row in _line_rows(line, number, samples)]


def mean(values: Iterable[float | None]) -> float | None:
    """The mean; None of nothing or if any value is None. Infinity and NaN survive."""
    known = list(values)
    return None if not known or None in known else sum(known) / len(known)


def line_columns(line: Shown, number: int) -> Row:
    """What the rows of one line have in common: all of schema "table" but the measure and its statistics."""
    method, k = line.method, line.k
    return {
        "row": number,
        "model": method.model,
        "dataset": method.dataset,
        "format": method.format,
        "method": "unedited" if k == 0 else method.method,
        "algorithm": "unedited" if k == 0 else method.algorithm,
        "assisted": method.assisted and k > 0,
        "prefixed": method.prefixed and k > 0,
        "protocol": method.protocol,
        "k": k,
        "k_min": line.k_min,
        "role": line.role,
        "collapsed": collapsed(method, line.ks),
        "edits": method.edits,
        "trials": len(method.trials),
    }


def _line_rows(line: Shown, number: int, samples: Samples) -> list[Row]:
    method, common = line.method, line_columns(line, number)
    bounds = samples.intervals(line)
    result = []
    for measured in [*MEASURES, "me_ppl", *PERPLEXITIES]:
        # what the first iteration starts from, p(theta_1, h), is the unedited model's
        ks = method.at(1) if line.k == 0 and measured == "ppl_initial" else line.ks
        values = method.values(measured, ks)
        low, high = bounds.get(measured, (math.nan, math.nan))
        result.append(
            common
            | {"measure": measured, "mean": mean(values), "spread": spread(values)}
            | {"low": None if math.isnan(low) else low, "high": None if math.isnan(high) else high}
        )
    return result


def collapsed(method: Method, ks: Ks) -> bool:
    """Whether ME-PPL is above COLLAPSE times the unedited model's, or not finite."""
    before, now = method.mean("me_ppl", method.at(0)), method.mean("me_ppl", ks)
    if max(ks) == 0 or now is None:
        return False
    return not math.isfinite(now) or (before is not None and now > COLLAPSE * before)


def spread(values: Sequence[float | None]) -> float | None:
    """Standard deviation over the trials; None of a single one or where a value is not finite."""
    if len(values) < 2 or any(value is None or not math.isfinite(value) for value in values):
        return None
    return float(np.std(values, ddof=1))
