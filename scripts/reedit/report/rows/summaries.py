"""The summaries of all runs that are one file each: from which files, and to which rows.

Each takes the files and the settings of rule summarise_results, by their names there, and gives rows with
their provenance: that of every run under "runs".
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa

from reedit.prepare.facts import read_facts
from reedit.report.rows.along import AlongFiles, along_rows
from reedit.report.rows.cases import case_rows
from reedit.report.rows.comparison import compare
from reedit.report.rows.differences import SAID, difference_rows, judged_answers, judged_cases
from reedit.report.rows.downstream import downstream_rows
from reedit.report.rows.eligible import eligibility
from reedit.report.rows.example import example_rows
from reedit.report.rows.fluency import fluency_rows
from reedit.report.rows.generation import AnswerFiles, generation_rows
from reedit.report.rows.lines import RunKey, key_of, run_path
from reedit.report.rows.norms import NormFiles, norm_summary_rows
from reedit.report.rows.portability import portability_rows
from reedit.report.rows.reported import TABLES as REPORTED_TABLES
from reedit.report.rows.reported import read_reported
from reedit.storage import parquet
from reedit.storage.schemas import SCHEMAS

Made = tuple[pa.Table | list[dict[str, Any]], dict[str, Any]]  # rows, provenance


@dataclass(frozen=True)
class Summary:
    """What makes results/summary/{name}.parquet, and the schema of its rows."""

    schema: str
    make: Callable[[Any, Mapping[str, Any]], Made]

    def write(self, files: Any, settings: Mapping[str, Any], path: Path | str) -> int:
        """Write the file, and say how many rows it has."""
        rows, made_by = self.make(files, settings)
        write = parquet.write_table if isinstance(rows, pa.Table) else parquet.write
        write(rows, path, self.schema, made_by)
        return len(rows)


def _cases(files: Any, settings: Mapping[str, Any]) -> Made:
    tables = list(map(case_rows, settings["runs"], files.scores, files.targets))
    cases = pa.concat_tables(tables) if tables else SCHEMAS["cases"].empty_table()
    return cases, parquet.read_provenance(files.runs)


def _example(files: Any, settings: Mapping[str, Any]) -> Made:
    runs, cases = parquet.read(files.runs, "runs"), parquet.read_table(files.cases, "cases")
    facts = dict(zip(settings["datasets"], files.facts, strict=True))
    return example_rows(runs, cases, facts), parquet.read_provenance(files.runs)


def _differences(files: Any, settings: Mapping[str, Any]) -> Made:
    runs, cases = parquet.read(files.runs, "runs"), parquet.read_table(files.cases, "cases")
    rows = difference_rows(runs, judged_cases(cases), settings["seed"], against=settings["against"])
    return rows, parquet.read_provenance(files.cases)


def _differences_generated(files: Any, settings: Mapping[str, Any]) -> Made:
    answers = dict(zip(map(key_of, settings["runs"]), files.generations, strict=True))
    runs, judged = parquet.read(files.runs, "runs"), judged_answers(answers)
    rows = difference_rows(runs, judged, settings["seed"], SAID, settings["against"])
    return rows, _with_measures(parquet.read_provenance(files.runs), answers)


def _generation(files: Any, settings: Mapping[str, Any]) -> Made:
    keys = list(map(key_of, settings["runs"]))
    answers = dict(zip(keys, map(AnswerFiles, files.scores, files.generations), strict=True))
    rows = generation_rows(parquet.read(files.runs, "runs"), answers, settings["seed"])
    said = dict(zip(keys, files.generations, strict=True))
    return rows, _with_measures(parquet.read_provenance(files.runs), said)


def _portability(files: Any, settings: Mapping[str, Any]) -> Made:
    asked = dict(zip(map(key_of, settings["runs"]), files.portability, strict=True))
    rows = portability_rows(parquet.read(files.runs, "runs"), asked, settings["seed"])
    return rows, _with_measures(parquet.read_provenance(files.runs), asked)


def _fluency(files: Any, settings: Mapping[str, Any]) -> Made:
    texts = dict(zip(map(key_of, settings["runs"]), files.texts, strict=True))
    rows = fluency_rows(parquet.read(files.runs, "runs"), texts, settings["seed"])
    return rows, _with_measures(parquet.read_provenance(files.runs), texts)


def _with_measures(made_by: dict[str, Any], files: Mapping[RunKey, Path | str]) -> dict[str, Any]:
    """The provenance of runs with the versions of what was measured in further files of theirs, too."""
    told = {run_path(key): parquet.read_provenance(path) for key, path in files.items()}
    runs = {
        path: one
        | {"measures": one.get("measures", {}) | told.get(path, {}).get("measures", {})}
        | {name: value for name, value in told.get(path, {}).items() if name == "judge" and value}
        for path, one in made_by["runs"].items()
    }
    return made_by | {"runs": runs}


def _norms(files: Any, settings: Mapping[str, Any]) -> Made:
    keys = map(key_of, settings["runs"])
    of_runs = dict(zip(keys, map(NormFiles, files.norms, files.iterations, files.targets), strict=True))
    made_by = _with_measures(
        parquet.read_provenance(files.runs), {key: own.norms for key, own in of_runs.items()}
    )
    return norm_summary_rows(parquet.read(files.runs, "runs"), of_runs), made_by


def _along(files: Any, settings: Mapping[str, Any]) -> Made:
    keys, made_by = list(map(key_of, settings["runs"])), parquet.read_provenance(files.runs)
    asked = [
        dict(zip(keys, paths, strict=True)) if paths else {} for paths in (files.texts, files.generations)
    ]
    of_run = [made_by["runs"][run_path(key)] for key in keys]
    firsts = [(one.get("batches") or [one.get("batch")])[0] for one in of_run]
    own = zip(keys, files.scores, files.collapse, firsts, strict=True)
    of_runs = {key: AlongFiles(*rest, *(found.get(key) for found in asked)) for key, *rest in own}
    rows = along_rows(parquet.read(files.runs, "runs"), of_runs, settings["seed"])
    for found in asked:
        made_by = _with_measures(made_by, found)
    return rows, made_by


def _comparison(files: Any, settings: Mapping[str, Any]) -> Made:
    tables, made_by = {}, {}
    for number, path in zip(REPORTED_TABLES, files.tables, strict=True):
        tables[number] = parquet.read(path, "table")
        made_by |= parquet.read_provenance(path)["runs"]
    reported = read_reported(files.reported, files.slips)
    return compare(reported, tables, settings["reported_as"]), {"runs": made_by}


def _eligible(files: Any, settings: Mapping[str, Any]) -> Made:
    given = zip(settings["eligible"], files.pool, files.filtered, files.published, strict=True)
    rows = [
        eligibility(
            one["model"], read_facts(Path(pool)), parquet.read(kept, "neighbors"), read_facts(Path(listed))
        )
        for one, pool, kept, listed in given
    ]
    filters = {path: parquet.read_provenance(path) for path in files.filtered}
    return rows, {"runs": filters}


def _downstream(files: Any, settings: Mapping[str, Any]) -> Made:
    made_by = {path: parquet.read_provenance(path) for path in [*files.edited, *files.unedited]}
    models = dict.fromkeys(run["model"] for run in settings["runs"])
    unedited = dict(zip(models, files.unedited, strict=True))
    rows = []
    for run, path in zip(settings["runs"], files.edited, strict=True):
        before = parquet.read(unedited[run["model"]], "downstream")
        rows += downstream_rows(run | {"k": made_by[path]["k"]}, parquet.read(path, "downstream"), before)
    return rows, {"runs": made_by}


SUMMARIES = {
    "cases": Summary("cases", _cases),
    "example": Summary("example", _example),
    "differences": Summary("differences", _differences),
    "generation": Summary("table", _generation),
    "differences_generated": Summary("differences", _differences_generated),
    "portability": Summary("table", _portability),
    "fluency": Summary("table", _fluency),
    "norms": Summary("norm_summary", _norms),
    "along": Summary("along", _along),
    "comparison": Summary("comparison", _comparison),
    "eligible": Summary("eligible", _eligible),
    "downstream": Summary("downstream_summary", _downstream),
}
