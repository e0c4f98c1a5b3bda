"""The eight measures of one model: efficacy, generalization, specificity and their harmonic mean.

Each comes as accuracy and as success (section 4.2). Means are taken over the prompts of a case, then
over the cases; the bootstrap resamples cases, so that a score's three parts stay together.
"""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa

from reedit.errors import InputError
from reedit.methods.protocols import PROTOCOLS
from reedit.storage import parquet
from reedit.storage.schemas import MEASURES, METRICS, TOLD

KINDS = ("accuracy", "success")
DRAWS = 1000  # of a bootstrap
LEVEL = 0.95  # of its intervals
# what a number means, docs/measures.md; another number from the day on that it means something else
VERSIONS = {**dict.fromkeys(METRICS, 1), "me_ppl": 1, "norms": 1, "exact": 2, "contains": 2, "portability": 1}
VERSIONS |= dict.fromkeys(TOLD, 1)


def versions(*names: str) -> dict[str, dict[str, int]]:
    """What the provenance of a file says of the measures in it."""
    return {"measures": {name: VERSIONS[name] for name in names}}


def prompt_means(path: Path | str, also: Sequence[str] = ()) -> pa.Table:
    """`prompt_means_of` the file of a run's scores."""
    return prompt_means_of(parquet.read_complete(path, "scores"), path, also)


def prompt_means_of(scores: pa.Table, path: Path | str, also: Sequence[str] = ()) -> pa.Table:
    """Means over a case's prompts of accuracy, success and the columns of `also`, per k, case_id, metric.

    `path`: where the scores are from. Raises InputError for a metric that is not one of METRICS or a value
    outside 0..1.
    """
    keys, columns = ["k", "case_id", "metric"], [*KINDS, *also]
    table = scores.select([*keys, *columns])
    unknown = sorted(set(table["metric"].unique().to_pylist()) - set(METRICS), key=str)
    if unknown:
        raise InputError(f"{path}: unknown metric {unknown[0]!r}, expected one of {', '.join(METRICS)}")
    for kind in KINDS:
        values = table[kind].drop_null().to_numpy()
        if not np.all((values >= 0) & (values <= 1)):
            raise InputError(f"{path}: a value of {kind} lies outside 0..1")
    means = table.group_by(keys, use_threads=False).aggregate([(column, "mean") for column in columns])
    return means.select([*keys, *(f"{column}_mean" for column in columns)]).rename_columns([*keys, *columns])


def case_means(path: Path | str) -> dict[int, np.ndarray]:
    """`case_means_of` the file of a run's scores; raises InputError as `prompt_means_of` does."""
    return case_means_of(prompt_means(path))


def case_means_of(means: pa.Table) -> dict[int, np.ndarray]:
    """Per k the means over each case's prompts, [cases, metrics, kinds], NaN where a case has no prompt.

    `means`: of prompt_means_of. Cases are in ascending order of case_id.
    """
    ks, cases = means["k"].to_numpy(), means["case_id"].to_numpy()
    metrics = np.array([METRICS.index(metric) for metric in means["metric"].to_pylist()], dtype=int)
    values = np.stack([means[kind].to_numpy() for kind in KINDS], axis=-1)  # null becomes NaN
    result = {}
    for k in np.unique(ks):
        here = ks == k
        known, position = np.unique(cases[here], return_inverse=True)
        result[int(k)] = np.full((len(known), len(METRICS), len(KINDS)), np.nan)
        result[int(k)][position, metrics[here]] = values[here]
    return result


def harmonic(values: np.ndarray, protocol: str) -> np.ndarray:
    """Harmonic mean over the last axis; NaN if any value is.

    corrected: zero if any value is zero. released: zeros are dropped first, zero if nothing is left.
    """
    positive = values > 0
    inverse = np.divide(1.0, values, out=np.zeros_like(values), where=positive)
    count, total = positive.sum(axis=-1), inverse.sum(axis=-1)
    mean = np.divide(count, total, out=np.zeros(total.shape), where=count > 0)
    if not PROTOCOLS[protocol].drops_zeros:
        mean = np.where((values == 0).any(axis=-1), 0.0, mean)
    return np.where(np.isnan(values).any(axis=-1), np.nan, mean)


def measure(
    values: np.ndarray, k: int, protocol: str, weights: np.ndarray | None = None, rounded: bool = True
) -> np.ndarray:
    """The eight measures in the order of MEASURES from case means [cases, metrics, kinds].

    `weights` [draws, cases] says how often a case counts in each draw; the result is [draws, 8], or [8]
    without weights. NaN where a metric has no case. At k = 0 specificity accuracy is one by definition:
    the unedited model's answers are unchanged from its own. released: specificity is rounded to whole percent
    before the scores (design, section 5), in the draws too, so that a mean and its interval are of one
    quantity; `rounded` false leaves that out, for what is no number of the printed tables.
    """
    draws = np.ones((1, len(values))) if weights is None else weights.astype(float)
    means = weighted_means(values.reshape(len(values), -1), draws)  # [draws, 6]
    means = means.reshape(-1, len(METRICS), len(KINDS))
    if k == 0:
        unchanged = means[:, METRICS.index("specificity"), KINDS.index("accuracy")]
        unchanged[~np.isnan(unchanged)] = 1.0
    if rounded and PROTOCOLS[protocol].whole_percent:
        means[:, METRICS.index("specificity")] = means[:, METRICS.index("specificity")].round(2)
    scores = harmonic(np.swapaxes(means, 1, 2), protocol)  # [draws, kinds]
    result = np.concatenate([means.reshape(len(draws), -1), scores], axis=1)
    return result[0] if weights is None else result


def weighted_means(values: np.ndarray, draws: np.ndarray) -> np.ndarray:
    """The mean of every column of `values` [cases, columns] in each draw, [draws, columns].

    `draws` [draws, cases] says how often each case counts. NaN is left out; the mean of nothing is NaN.
    """
    present = ~np.isnan(values)
    totals, counts = draws @ np.where(present, values, 0.0), draws @ present.astype(float)
    return np.divide(totals, counts, out=np.full(totals.shape, np.nan), where=counts > 0)


def intervals(trials: Sequence[np.ndarray], k: int, protocol: str, seed: int) -> np.ndarray:
    """Percentile bootstrap intervals [8, 2] (low, high) of the mean over trials of the eight measures.

    Each element of `trials` holds one trial's case means [cases, metrics, kinds]; cases are resampled
    within a trial. A seed gives a trial the same resamples whatever the method and k, so that rows
    can be compared. NaN where a metric has no case.
    """
    total = np.zeros((DRAWS, len(MEASURES)))
    for trial, values in enumerate(trials):
        total += measure(values, k, protocol, resamples(len(values), seed, trial))
    return percentiles(total / len(trials))


def paired_intervals(
    trials: Sequence[tuple[np.ndarray, np.ndarray]], protocol: str, seed: int
) -> tuple[np.ndarray, np.ndarray]:
    """The mean over trials of the difference of the eight measures, [8], and its bootstrap intervals [8, 2].

    Each element of `trials` holds the case means [cases, metrics, kinds] of two edited models, a case in the
    same place of both: the first minus the second. A resample takes a case on both sides or on neither, and a
    score is the harmonic mean of the resampled means. A metric that one side lacks for a case is left out.
    Nothing is rounded: a difference is no number of the printed tables.
    """
    means, total = np.zeros(len(MEASURES)), np.zeros((DRAWS, len(MEASURES)))
    for trial, (ours, theirs) in enumerate(trials):
        missing = np.isnan(ours) | np.isnan(theirs)
        pair = [np.where(missing, np.nan, values) for values in (ours, theirs)]
        weights = resamples(len(ours), seed, trial)
        # the k of an edited model; only k = 0 has a measure by definition
        ours, theirs = (measure(values, 1, protocol, rounded=False) for values in pair)
        means += ours - theirs
        ours, theirs = (measure(values, 1, protocol, weights, rounded=False) for values in pair)
        total += ours - theirs
    return means / len(trials), percentiles(total / len(trials))


def resamples(count: int, seed: int, trial: int) -> np.ndarray:
    """How often each of a trial's cases is drawn, [DRAWS, count]; the same for the same seed and trial."""
    return np.random.default_rng([seed, trial]).multinomial(count, np.full(count, 1 / count), DRAWS)


def percentiles(values: np.ndarray) -> np.ndarray:
    """The interval [columns, 2] that holds LEVEL of each column's draws [draws, columns]."""
    tail = 50 * (1 - LEVEL)
    result = np.full((values.shape[1], 2), np.nan)
    # a draw can miss every case of a rare metric; a metric without cases has no draw at all
    for column, drawn in enumerate(values.T):
        known = drawn[~np.isnan(drawn)]
        if known.size:
            result[column] = np.percentile(known, [tail, 100 - tail])
    return result
