"""How fluent models still are in the texts that they go on with, and how consistent with reference texts."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from reedit.report.rows.lines import RunKey, file_of
from reedit.report.rows.measured import OfCases, measured_rows
from reedit.report.rows.runs import Row
from reedit.storage import parquet
from reedit.storage.schemas import TOLD


def fluency_rows(
    runs: Sequence[Mapping[str, Any]], files: Mapping[RunKey, Path | str], seed: int
) -> list[Row]:
    """Rows of schema "table" of the measures of TOLD, as measured_rows makes them.

    `runs`: rows of schema "runs"; `files`: the texts of each. Raises InputError for a run without.
    """

    def read(run: RunKey) -> OfCases:
        texts = parquet.read_complete(file_of(run, files, "no texts were"), "texts")
        ks = texts["k"].unique().to_pylist()
        return {k: of_cases(texts.filter(pc.equal(texts["k"], k))) for k in ks}

    return measured_rows(runs, read, TOLD, seed)


def of_cases(texts: pa.Table) -> np.ndarray:
    """The measures of TOLD of each case, [cases, 2], in ascending order of case_id; NaN where there is none.

    `texts`: of schema "texts", of one state.
    """
    texts = texts.sort_by("case_id")
    return np.stack([texts[name].to_numpy() for name in TOLD], axis=-1).astype(float)
