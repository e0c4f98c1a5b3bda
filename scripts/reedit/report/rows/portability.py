"""What follows from edits and what stays: groups of prompts, teacher-forced beside free answers."""

from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from reedit.report.rows.lines import RunKey, at_first_and_selected, file_of, methods_of, table_lines
from reedit.report.rows.measured import over_cases
from reedit.report.rows.runs import Row, line_rows
from reedit.storage import parquet

if TYPE_CHECKING:
    import pandas as pd

SHARES = ("forced", "all_forced", "generated", "generated_known")  # means over a group's cases
CALLED = {
    "accuracy": "forced",
    "exact_match": "all_forced",
    "judged_true": "generated",
}  # columns of the file
COUNTS = ("cases", "known")  # of cases: all, and those of whose premises the unedited model knows some
KINDS = (*SHARES, *COUNTS)
ITEM = ["case_id", "group", "item"]


class _State(NamedTuple):
    """A run at one k: of each group the cases' means, and its numbers of cases."""

    shares: "pd.DataFrame"  # a line a case, ascending; columns (group, one of SHARES)
    counts: "pd.DataFrame"  # a line a group; columns COUNTS


def portability_rows(
    runs: Sequence[Mapping[str, Any]], files: Mapping[RunKey, Path | str], seed: int
) -> list[Row]:
    """Rows of schema "table" of measures "group/kind", one a line, group and kind of KINDS.

    Lines are the unedited model, k = 1, and where the proposed rule stops. Means are taken over a case's
    prompts of the group, over cases, then over trials; intervals resample cases. `generated_known` is over
    the prompts whose premises the unedited model knows; `known` is null where no premises are told. `runs`:
    rows of schema "runs"; `files`: of each, of schema "portability"; a run without has no line.
    """
    states = cache(lambda run: _states(file_of(run, files, "no groups were")))
    rows = []
    for number, line in enumerate(table_lines(methods_of(runs), at_first_and_selected)):
        if any(run not in files for run in line.runs):
            continue
        found = [states(run).get(k) for run, k in line.runs.items()]
        trials = [state for state in found if state is not None]
        if len(trials) < len(found) or not trials:
            continue
        names = list(dict.fromkeys(group for state in trials for group in state.counts.index))
        columns = [(group, kind) for group in names for kind in SHARES]
        arrays = [state.shares.reindex(columns=columns).to_numpy(dtype=float) for state in trials]
        means, bounds = over_cases(arrays, seed)
        values = {_named(*column): mean for column, mean in zip(columns, means, strict=True)}
        values |= {
            _named(group, kind): [_count(state, group, kind) for state in trials]
            for group in names
            for kind in COUNTS
        }
        of_line = line_rows(
            line, number, values, {_named(*c): b for c, b in zip(columns, bounds, strict=True)}
        )
        rows += sorted(of_line, key=lambda row: names.index(group_of(row["measure"])))
    return rows


def group_of(measure: str) -> str:
    """The group of a measure "group/kind"."""
    return measure.rpartition("/")[0]


def _named(group: str, kind: str) -> str:
    return f"{group}/{kind}"


def _count(state: _State, group: str, kind: str) -> float | None:
    """A number of cases; None of a group that the trial has not, and of premises that nobody tells."""
    found = state.counts[kind].get(group)
    return None if found is None or np.isnan(found) else float(found)


def _states(path: Path | str) -> dict[int, _State]:
    """By k, of complete iterations."""
    frame = parquet.read_complete(path, "portability").drop(["generated"]).to_pandas()
    known = frame[frame["k"] == 0].set_index(ITEM)["premise_known"].astype(object)
    frame["premise"] = known.reindex(frame.set_index(ITEM).index).to_numpy()
    frame["premise"] = frame["premise"].map({True: 1.0, False: 0.0})  # NaN where nobody tells
    frame = frame.rename(columns=CALLED)
    frame["generated_known"] = frame["generated"].where(frame["premise"] == 1)
    return {int(k): _state(rows) for k, rows in frame.groupby("k")}


def _state(rows: "pd.DataFrame") -> _State:
    order = list(dict.fromkeys(rows["group"]))
    means = rows.groupby(["case_id", "group"])[[*SHARES, "premise"]].mean()
    shares = means[list(SHARES)].unstack("group").swaplevel(axis=1)
    by_group = means["premise"].groupby("group")
    some = (means["premise"] > 0).groupby("group").sum().where(by_group.count() > 0)
    counts = {"cases": means.groupby("group").size(), "known": some}
    return _State(shares, rows[["group"]].drop_duplicates().set_index("group").assign(**counts).loc[order])
