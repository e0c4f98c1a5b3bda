"""Sequential editing along the way: what is left of the edits, and of the model, after so many of them.

Of a method with checkpoints every state of the last iteration, the unedited model first and the complete
iteration last: over all cases that were edited by then, and over those of the first batch.
"""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from reedit.errors import InputError
from reedit.evaluate.measures import METRICS, case_means_of, intervals, measure, prompt_means_of
from reedit.methods.protocols import protocol_of
from reedit.report.rows.fluency import of_cases
from reedit.report.rows.lines import Method, RunKey, file_of, methods_of, with_edits
from reedit.report.rows.measured import over_cases
from reedit.report.rows.runs import Row, known, mean
from reedit.storage import parquet
from reedit.storage.schemas import EXACT, MEASURES, TOLD

NO_CHECKPOINTS = "No method of this experiment has checkpoints."  # in the place of a table or figure of none
ENDS = ("", "_low", "_high")  # of the columns of a measure: its mean, and its interval
ACCURACIES = tuple(f"{metric}_accuracy" for metric in METRICS)


class AlongFiles(NamedTuple):
    """The files of one run that tell of it along the way."""

    scores: Path | str
    collapse: Path | str
    batch: int | None  # edits of one; None where all are in one
    texts: Path | str | None = None  # where they were asked for
    generations: Path | str | None = None  # likewise


class Course(NamedTuple):
    """A run's states by the edits that were written: case means [cases, metrics, kinds], and ME-PPL."""

    every: Mapping[int, np.ndarray]
    first: Mapping[int, np.ndarray]  # of the cases of the first batch
    me_ppl: Mapping[int, float | None]
    told: Mapping[int, np.ndarray]  # measures of TOLD, [cases, 2]; of no state where no texts were asked for
    said: Mapping[int, np.ndarray]  # likewise measures of EXACT, [cases, 3]


def along_rows(runs: Sequence[Mapping[str, Any]], files: Mapping[RunKey, AlongFiles], seed: int) -> list[Row]:
    """Rows of schema "along", method by method in the order of `runs` (schema "runs"), of the last k.

    Methods without checkpoints have none. Raises InputError for a run whose files were not given.
    """
    result = []
    for method in with_edits(methods_of(runs)):
        keys = [(*method.path, trial) for trial in method.trials]
        of_runs = [file_of(key, files, "no scores were") for key in keys]
        courses = [_course(own, method, k) for own, k in zip(of_runs, method.ends, strict=True)]
        if any(len(course.every) > 2 for course in courses):
            result += _rows(method, courses, seed)
    return result


def _rows(method: Method, courses: Sequence[Course], seed: int) -> list[Row]:
    """Of a method, a row for each number of edits that all trials have a state at."""
    shared = set.intersection(*(set(course.every) for course in courses))
    rows = []
    for after in sorted(shared):
        k = 0 if after == 0 else method.last
        found = {"k": k, "after": after, "me_ppl": mean(course.me_ppl[after] for course in courses)}
        for which in ("every", "first"):
            values = [getattr(course, which)[after] for course in courses]
            means = np.mean([measure(one, k, method.protocol) for one in values], 0)
            bounds = intervals(values, k, method.protocol, seed)
            for name, value, bound in zip(MEASURES, means, bounds, strict=True):
                if name in ACCURACIES:
                    ends = zip(ENDS, (value, *bound), strict=True)
                    found |= {f"{which}_{name}{end}": known(one) for end, one in ends}
        for names, kind in ((TOLD, "told"), (EXACT, "said")):
            of_trials = [getattr(course, kind) for course in courses]
            found |= _columns(names, [own[after] for own in of_trials if after in own], seed)
        rows.append(method.identity | {"trials": len(courses)} | found)
    return rows


def _columns(names: Sequence[str], trials: Sequence[np.ndarray], seed: int) -> Row:
    """The columns of what all cases have, [cases, names] of each trial; None where it was not asked for."""
    if not trials:
        return {f"{name}{end}": None for name in names for end in ENDS}
    columns: Row = {}
    for name, values, bounds in zip(names, *over_cases(trials, seed), strict=True):
        found = (mean(values), *map(known, bounds))
        columns |= {f"{name}{end}": value for end, value in zip(ENDS, found, strict=True)}
    return columns


def _course(files: AlongFiles, method: Method, k: int) -> Course:
    """One run's states in iteration k, and the unedited model as the first of them."""
    scores, texts = parquet.read_table(files.scores, "scores"), parquet.read(files.collapse, "collapse")
    of_k = scores.filter(pc.equal(scores["k"], k))
    points = sorted(after for after in of_k["after"].unique().to_pylist() if after is not None)
    column = protocol_of(method.protocol).me_ppl
    tables = {0: scores.filter(pc.equal(scores["k"], 0))}
    tables |= {after: of_k.filter(pc.equal(of_k["after"], after)) for after in points}
    tables[method.edits] = of_k.filter(pc.is_null(of_k["after"]))
    ends = {0: (0, None), **{after: (k, after) for after in points}, method.edits: (k, None)}
    me_ppl = {
        after: mean(row[column] for row in texts if (row["k"], row["after"]) == state)
        for after, state in ends.items()
    }
    early = tables[method.edits]["case_id"].unique()[: files.batch]  # in the order of editing
    every = {after: _means(table, files) for after, table in tables.items()}
    first = {
        after: _means(table.filter(pc.is_in(table["case_id"], early)), files)
        for after, table in tables.items()
    }
    told = _in_each(files.texts, "texts", ends, of_cases)
    return Course(every, first, me_ppl, told, _in_each(files.generations, "generations", ends, _exact))


def _in_each(
    path: Path | str | None,
    schema: str,
    ends: Mapping[int, tuple[int, int | None]],
    of_state: Callable[[pa.Table], np.ndarray],
) -> dict[int, np.ndarray]:
    """What a file tells of each state; `ends`: its k and its `after`, by the edits that were written."""
    if path is None:
        return {}
    rows = parquet.read_table(path, schema)
    found = {}
    for written, (k, after) in ends.items():
        at = pc.is_null(rows["after"]) if after is None else pc.equal(rows["after"], after)
        table = rows.filter(pc.and_(pc.equal(rows["k"], k), at))
        if not len(table):
            raise InputError(f"{path}: no rows of a state along the way; delete it and rerun")
        found[written] = of_state(table)
    return found


def _exact(generations: pa.Table) -> np.ndarray:
    """The mean of `exact` over each case's prompts, [cases, metrics], by ascending case_id; NaN for none."""
    means = generations.to_pandas().groupby(["case_id", "metric"])["exact"].mean().unstack("metric")
    return means.reindex(columns=list(METRICS)).to_numpy(dtype=float)


def _means(table: pa.Table, files: AlongFiles) -> np.ndarray:
    """The case means of a table of one k."""
    found = list(case_means_of(prompt_means_of(table, files.scores)).values())
    if len(found) != 1:
        raise InputError(f"{files.scores}: no rows of a state along the way; delete it and rerun")
    return found[0]
