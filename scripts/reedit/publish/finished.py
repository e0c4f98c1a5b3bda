"""Whether an experiment has run to its end and all of it is whole: what `make publish` asks first."""

import json
from collections.abc import Sequence
from dataclasses import asdict, astuple
from pathlib import Path

from reedit.errors import InputError
from reedit.report.rows.runs import Gathered, RunFiles, gathered_in
from reedit.settings.experiment import Experiment
from reedit.storage import parquet
from reedit.storage.schemas import SCHEMAS
from reedit.use.verification import Verification

RESULTS = Path("results")
SUMMARY = RESULTS / "summary/runs.parquet"
FIRST = "run the experiment to its end first"


def finished_runs(experiment: Experiment, copied: Sequence[Path]) -> Gathered:
    """The runs of an experiment that lie in results/ of the working directory, as they were summarised.

    `copied`: what will be published. Raises InputError where something is damaged, where a source is missing,
    and where runs are not those of the summary or were made with other settings than the configuration's.
    """
    _check_whole(experiment, copied)
    gathered = gathered_in(RESULTS, [experiment.identity(run) for run in experiment.runs.values()])
    _check_summary(gathered)
    _check_settings(experiment, gathered)
    return gathered


def _check_whole(experiment: Experiment, copied: Sequence[Path]) -> None:
    """Raise InputError where a file that is read or copied is damaged, or a source is missing."""
    files = [source for source in copied if source.is_relative_to(RESULTS)]
    files += [Path(file) for path in experiment.runs for file in astuple(RunFiles.of(path, RESULTS))]
    for folder in (RESULTS / "sources" / name for name in experiment.used_sources):
        if not folder.is_dir():
            raise InputError(f"{folder}: is missing; {FIRST}")
        files.append(folder)
    for fault in Verification(RESULTS, experiment).faults_of(path for path in files if path.exists()):
        raise InputError(str(fault))


def _check_summary(gathered: Gathered) -> None:
    """Raise InputError where the summary is of other runs, or of these as they were."""
    rows, made_by = parquet.read(SUMMARY, "runs"), parquet.read_provenance(SUMMARY).get("runs")
    now = [{name: row[name] for name in SCHEMAS["runs"].names} for row in gathered.rows]
    same = repr(rows) == repr(now)  # a NaN is not equal to itself
    if not same or made_by != json.loads(json.dumps(gathered.made_by)):
        raise InputError(f"{SUMMARY}: is not of these runs as they are; {FIRST}")


def _check_settings(experiment: Experiment, gathered: Gathered) -> None:
    """Raise InputError where a run was made with other settings than the configuration's."""
    for path, run in experiment.runs.items():
        asked = json.loads(json.dumps(asdict(experiment.edit_settings(run))))
        asked |= {"edits": run.entry.edits} if isinstance(run.entry.edits, int) else {}
        made_by = gathered.made_by[path]
        for name in sorted((asked.keys() & made_by.keys()) - {"code"}):
            if made_by[name] != asked[name]:
                told = f"made with {name} {made_by[name]}, and the configuration says {asked[name]}"
                raise InputError(f"{path}: {told}; {FIRST}")
