"""Teacher-forced scores beside what models say by themselves: how far do the two disagree?"""

from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from reedit.errors import InputError
from reedit.evaluate.measures import METRICS, percentiles, resamples, weighted_means
from reedit.report.rows.lines import RunKey, at_first_and_selected, methods_of, table_lines
from reedit.report.rows.runs import Row, known, line_rows
from reedit.storage import parquet

if TYPE_CHECKING:
    import pandas as pd

FORCED = ("accuracy", "exact_match")  # columns of "scores"
GENERATED = ("exact", "contains")  # columns of "generations"
DISAGREEMENTS = ("exact_differs", "contains_differs")  # exact_match is not exact, not contains
KINDS = (*FORCED, *GENERATED, *DISAGREEMENTS)
MEASURES = tuple(f"{metric}_{kind}" for metric in METRICS for kind in KINDS)
PROMPT = ["k", "case_id", "metric", "position"]  # prompts can repeat within a case


class AnswerFiles(NamedTuple):
    """The two files of one run that are compared."""

    scores: Path | str
    generations: Path | str


def generation_rows(
    runs: Sequence[Mapping[str, Any]], files: Mapping[RunKey, AnswerFiles], seed: int
) -> list[Row]:
    """Rows of schema "table", one per line and measure of MEASURES.

    Lines as in the tables of iterations: unedited, k = 1, and where the proposed rule stops each method of
    `runs` (schema "runs"). Means are taken within a case, over cases, then over trials; intervals resample
    cases.
    """
    read = cache(lambda run: case_means(files[run]))
    rows = []
    for number, line in enumerate(table_lines(methods_of(runs), at_first_and_selected)):
        trials = [read(run).get(k) for run, k in line.runs.items()]
        kept = not any(values is None for values in trials)
        values, bounds = _statistics(trials, seed) if kept else (dict.fromkeys(MEASURES, ()), {})
        rows += line_rows(line, number, values, bounds)
    return rows


def case_means(files: AnswerFiles) -> dict[int, np.ndarray]:
    """Per k the means over each case's prompts, [cases, MEASURES], NaN where a case has no such prompt.

    Where the scores ask a metric's prompts in another form (ZsRE's neighbors in the released protocol, token
    by token), whether the two disagree is not known, and NaN. Raises InputError where k or cases differ.
    """
    import pandas as pd  # half a second, which what only asks for names need not wait

    scores = _numbered(files.scores, "scores", [*FORCED])
    generations = _numbered(files.generations, "generations", [*GENERATED])
    _check_alike(scores, generations, files)
    both = scores.merge(generations, on=[*PROMPT, "prompt"], how="outer", indicator=True)
    unpaired = set(both.loc[both["_merge"] != "both", "metric"])
    paired = ~both["metric"].isin(unpaired)
    for kind, differs in zip(GENERATED, DISAGREEMENTS, strict=True):
        both[differs] = (both["exact_match"] != both[kind]).astype(float).where(paired)
    means = both.groupby(PROMPT[:3])[[*KINDS]].mean().unstack("metric")  # NaN is left out
    columns = pd.MultiIndex.from_tuples([(kind, metric) for metric in METRICS for kind in KINDS])
    means = means.reindex(columns=columns)
    return {int(k): found.to_numpy(dtype=float) for k, found in means.groupby(level="k")}


def _numbered(path: Path | str, schema: str, kinds: list[str]) -> "pd.DataFrame":
    """The rows of a file with their place among a case's prompts of a metric."""
    frame = parquet.read_complete(path, schema).to_pandas()[[*PROMPT[:3], "prompt", *kinds]]
    frame["position"] = frame.groupby(PROMPT[:3]).cumcount()
    return frame


def _check_alike(scores: "pd.DataFrame", generations: "pd.DataFrame", files: AnswerFiles) -> None:
    asked, answered = (set(zip(frame["k"], frame["case_id"], strict=True)) for frame in (scores, generations))
    if asked != answered:
        k, case = min(asked ^ answered)
        lacking = files.generations if (k, case) in asked else files.scores
        raise InputError(f"{lacking}: no row for case {case} at k = {k}; delete it and rerun")


def _statistics(
    trials: Sequence[np.ndarray], seed: int, draws: int = 1000
) -> tuple[dict[str, list[float | None]], dict[str, np.ndarray]]:
    """By measure the mean in every trial, and the bootstrap interval of the mean over trials.

    Resamples are those of the other tables.
    """
    means, total = [], np.zeros((draws, len(MEASURES)))
    for trial, values in enumerate(trials):
        means.append(weighted_means(values, np.ones((1, len(values))))[0])
        total += weighted_means(values, resamples(len(values), seed, trial, draws))
    of_trials = [list(map(known, column)) for column in np.transpose(means)]
    bounds = percentiles(total / len(trials))
    return dict(zip(MEASURES, of_trials, strict=True)), dict(zip(MEASURES, bounds, strict=True))
