"""From a run's scores and targets to one row per k and case (schema "cases"), by whole columns."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from reedit.errors import InputError
from reedit.evaluate.measures import KINDS, METRICS, prompt_means
from reedit.methods.protocols import PROTOCOLS, protocol_of
from reedit.report.rows.lines import Method
from reedit.storage import parquet
from reedit.storage.schemas import SCHEMAS

PERPLEXITIES = ("ppl_initial", "ppl_target", "ppl_edited")
IDENTITY = ("model", "dataset", "method", "algorithm", "assisted", "protocol", "trial")
KEYS = ["k", "case_id"]


def case_rows(identity: Mapping[str, Any], scores_path: Path | str, targets_path: Path | str) -> pa.Table:
    """One run's rows of schema "cases", in ascending order of k and case_id.

    `identity` holds the columns of IDENTITY (further keys are ignored). Raises InputError for an unknown
    protocol, a value outside 0..1, or scores and targets of different cases.
    """
    protocol = identity["protocol"]
    protocol_of(protocol)  # refuses another one
    means = prompt_means(scores_path, also=("logp_new", "logp_true"))
    targets = parquet.read_table(targets_path, "targets").select([*KEYS, *PERPLEXITIES])
    _check_cases(means, scores_path, targets, targets_path)
    rows = pa.concat_tables([means.select(KEYS), targets.select(KEYS)])
    rows = rows.group_by(KEYS, use_threads=False).aggregate([])
    rows = rows.join(targets, KEYS, use_threads=False)  # null where it has no such row
    for metric in METRICS:
        part = means.filter(pc.equal(means["metric"], metric)).select([*KEYS, *KINDS])
        part = part.rename_columns([*KEYS, *(f"{metric}_{kind}" for kind in KINDS)])
        rows = rows.join(part, KEYS, use_threads=False)
    rows = rows.join(under_edits(means, protocol), "case_id", use_threads=False)
    rows = rows.sort_by([(key, "ascending") for key in KEYS])
    declared = SCHEMAS["cases"]
    for name in IDENTITY:
        rows = rows.append_column(name, pa.repeat(identity[name], len(rows)))
    return rows.select(declared.names).cast(declared)


def case_frame(cases: pa.Table) -> pd.DataFrame:
    """Rows of schema "cases" for pandas, where NaN means not measured: a measured NaN becomes infinite.

    Both are perplexities beyond the range of floating point.
    """
    for name in PERPLEXITIES:
        column = cases[name]
        beyond = pc.if_else(pc.is_nan(column), float("inf"), column)
        cases = cases.set_column(cases.schema.get_field_index(name), name, beyond)
    return cases.to_pandas()


def edits_of(frame: pd.DataFrame, method: Method) -> pd.DataFrame:
    """The rows of one method, k from 1 on; a trial that has ended stands where it ended."""
    own = (frame[["model", "dataset", "method"]] == list(method.path)).all(axis=1)
    edits = frame[own & (frame["k"] >= 1)]
    later = [
        edits[(edits["trial"] == trial) & (edits["k"] == end)].assign(k=k)
        for trial, end in zip(method.trials, method.ends, strict=True)
        for k in range(end + 1, method.last + 1)
    ]
    return pd.concat([edits, *later])


def under_edits(means: pa.Table, protocol: str) -> pa.Table:
    """case_id and under_edit: whether the first edit failed; no row for a case not scored after k = 1."""
    after_first = pc.and_(pc.equal(means["k"], 1), pc.equal(means["metric"], "efficacy"))
    first = means.filter(after_first)
    return pa.table({"case_id": first["case_id"], "under_edit": failed(first, protocol)})


def failed(scores: pa.Table, protocol: str) -> pa.ChunkedArray:
    """Whether an edit failed, by each row of its scores.

    corrected: log p(target_new) < log p(target_true) (design, section 4; the paper's section 6.1). released:
    accuracy 0.
    """
    if PROTOCOLS[protocol].behind_fails:
        return pc.less(scores["logp_new"], scores["logp_true"])
    return pc.equal(scores["accuracy"], 0.0)


def _check_cases(
    means: pa.Table, scores_path: Path | str, targets: pa.Table, targets_path: Path | str
) -> None:
    scored, edited = (set(table["case_id"].unique().to_pylist()) for table in (means, targets))
    if edited and scored != edited:
        case = min(scored ^ edited)
        lacking, other = (scores_path, targets_path) if case in edited else (targets_path, scores_path)
        raise InputError(f"{lacking}: no row for case {case}, which {other} has")
