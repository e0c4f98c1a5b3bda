"""Teacher-forced scores beside what models say by themselves: how far do the two disagree?"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from reedit.errors import InputError
from reedit.evaluate.measures import METRICS
from reedit.report.rows.lines import RunKey
from reedit.report.rows.measured import measured_rows
from reedit.report.rows.runs import Row
from reedit.storage import parquet

if TYPE_CHECKING:
    import pandas as pd

FORCED = ("accuracy", "exact_match")  # columns of "scores"
FREE = ("exact", "contains", "judged_true")  # columns of "generations"
DISAGREEMENTS = ("exact_differs", "contains_differs")  # exact_match is not exact, not contains
KINDS = (*FORCED, *FREE, *DISAGREEMENTS)
MEASURES = tuple(f"{metric}_{kind}" for metric in METRICS for kind in KINDS)
PROMPT = ["k", "case_id", "metric", "position"]  # prompts can repeat within a case


class AnswerFiles(NamedTuple):
    """The two files of one run that are compared."""

    scores: Path | str
    generations: Path | str


def generation_rows(
    runs: Sequence[Mapping[str, Any]], files: Mapping[RunKey, AnswerFiles], seed: int
) -> list[Row]:
    """Rows of schema "table" of the measures of MEASURES, as measured_rows makes them of answer_means.

    `runs`: rows of schema "runs".
    """
    return measured_rows(runs, lambda run: answer_means(files[run]), MEASURES, seed)


def answer_means(files: AnswerFiles) -> dict[int, np.ndarray]:
    """Per k the means over each case's prompts, [cases, MEASURES], NaN where a case has no such prompt.

    Where the scores ask a metric's prompts in another form (ZsRE's neighbors in the released protocol, token
    by token), whether the two disagree is not known, and NaN. Raises InputError where k or cases differ.
    """
    import pandas as pd  # half a second, which what only asks for names need not wait

    scores = _numbered(files.scores, "scores", [*FORCED])
    generations = _numbered(files.generations, "generations", [*FREE])
    _check_alike(scores, generations, files)
    both = scores.merge(generations, on=[*PROMPT, "prompt"], how="outer", indicator=True)
    unpaired = set(both.loc[both["_merge"] != "both", "metric"])
    paired = ~both["metric"].isin(unpaired)
    for kind, differs in zip(FREE[:2], DISAGREEMENTS, strict=True):
        both[differs] = (both["exact_match"] != both[kind]).astype(float).where(paired & both[kind].notna())
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
