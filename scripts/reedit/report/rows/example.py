"""The one case whose course the paper's Figure 3 shows: chosen by a rule, never by hand."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from reedit.methods.stopping import selected
from reedit.report.rows.cases import case_frame
from reedit.report.rows.lines import iterative, methods_of, with_edits
from reedit.storage import parquet
from reedit.storage.schemas import SCHEMAS


def example_rows(
    runs: Sequence[Mapping[str, Any]], cases: pa.Table, facts: Mapping[str, Path | str]
) -> list[dict[str, Any]]:
    """The rows of schema "example"; none if nothing was edited and measured.

    The run is the first trial of an iterative method: of the first one where the criterion stops that trial
    after more than one iteration; without one, of the first that was iterated, otherwise of the first. The
    case: among the run's UnderEdit cases (among all, if it has none) the one whose |p(theta_2, h-hat) -
    p(theta_1, h-bar)| is the median, the smaller of two in the middle. `facts` has each dataset's file.
    """
    edited = {m.path: m.iterations()[0] for m in with_edits(iterative(methods_of(runs)))}
    known = {path: rows for path, rows in edited.items() if None not in (row["delta_p"] for row in rows)}
    if not known:
        return []
    path = min(known, key=lambda path: _preference(known[path]))
    frame = case_frame(cases)
    of_method = (frame[["model", "dataset", "method"]] == list(path)).all(axis=1)
    frame = frame[of_method & (frame["trial"] == known[path][0]["trial"]) & (frame["k"] >= 1)]
    case = _median_case(frame[frame["k"] == 1])
    about = _fact(facts[path[1]], case)
    columns = [name for name in SCHEMAS["example"].names if name in frame.columns]
    course = frame.loc[frame["case_id"] == case, columns].sort_values("k")
    # a score of a k whose weights were not kept, which pandas has as NaN
    scores = course["efficacy_accuracy"].astype(object).where(course["efficacy_accuracy"].notna(), None)
    return [about | row for row in course.assign(efficacy_accuracy=scores).to_dict("records")]


def _preference(iterations: Sequence[Mapping[str, Any]]) -> tuple[bool, bool]:
    k, reached = selected(iterations)
    return not (reached and k > 1), len(iterations) == 1


def _median_case(first: pd.DataFrame) -> int:
    """The case in the middle of the gaps that the first iteration leaves; an infinite gap is the largest."""
    failed = first[first["under_edit"].eq(True)]
    shown = first if failed.empty else failed
    gap = (shown["ppl_edited"] - shown["ppl_target"]).abs().fillna(float("inf"))
    order = shown.assign(gap=gap).sort_values(["gap", "case_id"])
    return int(order["case_id"].iloc[(len(order) - 1) // 2])


def _fact(path: Path | str, case: int) -> dict[str, str]:
    (fact,) = parquet.read_table(path, "facts").filter(pc.field("case_id") == case).to_pylist()
    prompt = fact["prompt"].replace("{}", fact["subject"])
    return {"prompt": prompt, "target_new": fact["target_new"], "target_true": fact["target_true"]}
