"""Tables of what is measured case by case: means over cases, on the lines of the tables of iterations."""

from collections.abc import Callable, Mapping, Sequence
from functools import cache
from typing import Any

import numpy as np

from reedit.evaluate.measures import DRAWS, percentiles, resamples, weighted_means
from reedit.report.rows.lines import RunKey, at_first_and_selected, methods_of, table_lines
from reedit.report.rows.runs import Row, known, line_rows

OfCases = Mapping[int, np.ndarray]  # by k the measures of each case, [cases, measures], NaN for none


def measured_rows(
    runs: Sequence[Mapping[str, Any]],
    read: Callable[[RunKey], OfCases],
    measures: Sequence[str],
    seed: int,
) -> list[Row]:
    """Rows of schema "table", one per line and measure: unedited, k = 1, and where the proposed rule stops.

    `runs`: rows of schema "runs"; `read` gives what a run's cases have. Means are taken over cases, then over
    trials; intervals resample cases.
    """
    read = cache(read)
    rows = []
    for number, line in enumerate(table_lines(methods_of(runs), at_first_and_selected)):
        trials = [read(run).get(k) for run, k in line.runs.items()]
        values: Mapping[str, Sequence[float | None]] = dict.fromkeys(measures, ())
        bounds: Mapping[str, Sequence[float]] = {}
        if not any(of_trial is None for of_trial in trials):
            values, bounds = (dict(zip(measures, found, strict=True)) for found in over_cases(trials, seed))
        rows += line_rows(line, number, values, bounds)
    return rows


def over_cases(trials: Sequence[np.ndarray], seed: int) -> tuple[list[list[float | None]], np.ndarray]:
    """The mean of each measure in every trial, [measures][trials], and the interval of that over trials.

    The intervals, [measures, 2], are percentiles of the bootstrap over cases. `trials`: what each one's cases
    have, [cases, measures], in ascending order of case_id, so that resamples are those of the other tables.
    What has no case is None in the means and NaN in the intervals.
    """
    means, total = [], np.zeros((DRAWS, trials[0].shape[1]))
    for trial, values in enumerate(trials):
        means.append(weighted_means(values, np.ones((1, len(values))))[0])
        total += weighted_means(values, resamples(len(values), seed, trial))
    return [list(map(known, column)) for column in np.transpose(means)], percentiles(total / len(trials))
