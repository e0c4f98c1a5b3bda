"""From one run's files to rows of "runs", and from the chosen ones of these to the rows of a table.

A run is one trial of one method. Its k counts the edits made to the model: k = 0 is the unedited one, and
row k of its iterations is the edit that produced theta_{k+1}, the model that row k of its scores judges.
"""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from operator import itemgetter
from pathlib import Path
from typing import Any

import numpy as np

from reedit.errors import InputError
from reedit.evaluate.measures import case_means, intervals, measure
from reedit.methods.protocols import protocol_of
from reedit.report.rows.groups import grouped
from reedit.report.rows.lines import (
    COMMON,
    Ks,
    Method,
    RunKey,
    Shown,
    at_every,
    file_of,
    key_of,
    methods_of,
    run_path,
    table_lines,
)
from reedit.storage import parquet
from reedit.storage.schemas import MEASURES

IDENTITY = ("entry", *(name for name in COMMON if name != "edits"), "trial")
PERPLEXITIES = ("ppl_initial", "ppl_target", "ppl_edited", "delta_p", "delta_p2")
COLLAPSE = 10  # an edited model whose ME-PPL is above so many times the unedited one's has collapsed
Row = dict[str, Any]


def run_rows(
    identity: Mapping[str, Any],
    scores_path: Path | str,
    collapse_path: Path | str,
    iterations_path: Path | str,
    edits: int,
) -> list[Row]:
    """One run's rows of schema "runs", one per k; a measure that was not taken is None.

    `identity` holds the columns of IDENTITY (further keys are ignored). Raises InputError for an unknown
    protocol, a run without the unedited model's scores, or an edited model without its iteration.
    """
    protocol = identity["protocol"]
    column = protocol_of(protocol).me_ppl
    cases = case_means(scores_path)
    if 0 not in cases:
        raise InputError(f"{scores_path}: no rows for k = 0 (the unedited model)")
    texts = grouped(parquet.read_complete(collapse_path, "collapse").to_pylist(), itemgetter("k"))
    iterations = {row["k"]: row for row in parquet.read(iterations_path, "iterations")}
    result = []
    for k in sorted(cases.keys() | iterations.keys()):
        if k > 0 and k not in iterations:
            raise InputError(f"{iterations_path}: no row for k = {k}, which {scores_path} has scores of")
        means: list[float | None] = [None] * len(MEASURES)  # of a k whose weights were not kept
        if k in cases:
            means = list(map(known, measure(cases[k], k, protocol)))
        perplexities = {name: iterations[k][name] if k > 0 else None for name in PERPLEXITIES}
        result.append(
            {name: identity[name] for name in IDENTITY}
            | {"k": k, "edits": edits, "me_ppl": mean(row[column] for row in texts.get(k, []))}
            | dict(zip(MEASURES, means, strict=True))
            | perplexities
        )
    return result


def run_provenance(
    scores_path: Path | str, collapse_path: Path | str, iterations_path: Path | str
) -> dict[str, Any]:
    """What one run's rows are made by: its edits' provenance, with the texts and measures that judged it."""
    scored, judged = parquet.read_provenance(scores_path), parquet.read_provenance(collapse_path)
    told = {"texts": judged["texts"], "measures": scored["measures"] | judged["measures"]}
    return parquet.read_provenance(iterations_path) | told


@dataclass(frozen=True)
class RunFiles:
    """What one run's rows are made of."""

    scores: Path | str
    collapse: Path | str
    iterations: Path | str

    @classmethod
    def of(cls, path: str, results: Path) -> "RunFiles":
        """Those of the run with a path (model/dataset/method/trial1) under `results`."""
        return cls(
            results / f"scores/{path}.parquet",
            results / f"collapse/{path}.parquet",
            results / f"edits/{path}/iterations.parquet",
        )


@dataclass(frozen=True)
class Gathered:
    """All runs of an experiment: their rows of schema "runs", their score files, what made each by path."""

    rows: list[Row]
    scores: dict[RunKey, Path | str]
    made_by: dict[str, Any]

    def cells(self, seed: int) -> list[Row]:
        """Every method at every k, as rows of schema "table", with the intervals that `seed` draws."""
        return table_rows(table_lines(methods_of(self.rows), at_every), Samples(self.scores, seed))


def gather(runs: Sequence[Mapping[str, Any]], files: Sequence[RunFiles]) -> Gathered:
    """The runs of some identities (columns of IDENTITY), from each one's files; InputError as `run_rows`."""
    found = Gathered([], {}, {})
    for run, own in zip(runs, files, strict=True):
        key, paths = key_of(run), (own.scores, own.collapse, own.iterations)
        made_by = run_provenance(*paths)
        found.made_by[run_path(key)] = made_by
        found.rows.extend(run_rows(run, *paths, made_by["edits"]))
        found.scores[key] = own.scores
    return found


def gathered_in(results: Path, runs: Sequence[Mapping[str, Any]]) -> Gathered:
    """The runs of some identities, from their files under `results`; InputError as `run_rows`."""
    return gather(runs, [RunFiles.of(run_path(key_of(run)), results) for run in runs])


class Samples:
    """The runs' score files, each read once, and the bootstrap intervals over cases, each drawn once."""

    def __init__(self, scores: Mapping[RunKey, Path | str], seed: int) -> None:
        self._seed = seed
        self._read = cache(lambda run: case_means(file_of(run, scores, "no score file was")))
        self._drawn = cache(self._draw)

    def intervals(self, line: Shown) -> Mapping[str, Sequence[float]]:
        """[low, high] of each measure; nothing where a trial was not scored at its k (its weights were not
        kept). Raises InputError for a run whose score file was not given."""
        return self._drawn(tuple(line.runs.items()), line.method.protocol)

    def _draw(self, runs: tuple[tuple[RunKey, int], ...], protocol: str) -> Mapping[str, Sequence[float]]:
        trials = [self._read(run).get(k) for run, k in runs]
        if any(cases is None for cases in trials):
            return {}
        bounds = intervals(trials, max(k for _, k in runs), protocol, self._seed)
        return dict(zip(MEASURES, bounds, strict=True))


def table_rows(lines: Sequence[Shown], samples: Samples | None = None) -> list[Row]:
    """The lines of a table as rows of schema "table", one per line and measure; intervals from `samples`."""
    rows = []
    for number, line in enumerate(lines):
        ks = dict.fromkeys([*MEASURES, "me_ppl", *PERPLEXITIES], line.ks)
        if line.k == 0:  # what the first iteration starts from, p(theta_1, h), is the unedited model's
            ks["ppl_initial"] = line.method.at(1)
        values = {name: line.method.values(name, own) for name, own in ks.items()}
        rows += line_rows(line, number, values, samples.intervals(line) if samples else {})
    return rows


def line_rows(
    line: Shown,
    number: int,
    values: Mapping[str, Sequence[float | None]],
    bounds: Mapping[str, Sequence[float]],
) -> list[Row]:
    """One line's rows of schema "table": the mean and spread of each measure of `values`, which holds that of
    every trial, and its interval where `bounds` has one."""
    method = line.method
    common: Row = {"row": number} | {name: getattr(method, name) for name in COMMON}
    common |= {"k": line.k, "k_min": line.k_min, "role": line.role}
    common |= {"collapsed": collapsed(method, line.ks), "trials": len(method.trials)}
    if line.k == 0:
        common |= {"method": "unedited", "algorithm": "unedited", "assisted": False, "prefixed": False}
    rows = []
    for measured, of_trials in values.items():
        low, high = map(known, bounds.get(measured, (math.nan, math.nan)))
        statistics = {"mean": mean(of_trials), "spread": spread(of_trials), "low": low, "high": high}
        rows.append(common | {"measure": measured} | statistics)
    return rows


def known(value: float) -> float | None:
    """A number for a row; None for NaN, which is nothing that was measured."""
    return None if math.isnan(value) else float(value)


def mean(values: Iterable[float | None]) -> float | None:
    """The mean; None of nothing or if any value is None. Infinity and NaN survive."""
    known = list(values)
    return None if not known or None in known else sum(known) / len(known)


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
