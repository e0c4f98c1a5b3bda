"""The results of an experiment as they are kept with the docs: small, whole, to be checked by anyone.

A folder of its own: tables as .md and .csv, the summary as Parquet, every method at every k with its
intervals (cells.parquet), the PDF, the figures, the configuration, and two descriptions of all of it,
provenance.json for people and ro-crate-metadata.json for machines.
"""

import csv
import json
import re
import shutil
from collections import defaultdict
from collections.abc import Sequence
from datetime import UTC, datetime
from importlib.metadata import distributions
from pathlib import Path
from typing import Any

import yaml

from reedit.errors import InputError
from reedit.publish.crate import crate_metadata
from reedit.publish.finished import FIRST, SUMMARY, finished_runs
from reedit.publish.folder import CELLS, CONFIG, CRATE, PROVENANCE, read_told
from reedit.report.contents import contents
from reedit.report.rows.runs import Gathered, RunFiles
from reedit.report.tables.catalog import TABLES
from reedit.settings.experiment import Experiment
from reedit.settings.overlays import read_configuration
from reedit.storage import parquet
from reedit.storage.checksums import noted_sums
from reedit.storage.files import file_sha256, visible_tree, whole_folder, write_text
from reedit.storage.git import said_by_git

DEFAULT = "default"  # what the experiment without an overlay is called
NAME = re.compile(r"[A-Za-z0-9][\w-]*")
EDIT = "edit_facts"  # the rule whose jobs go on where they were cut off


def publish(paths: Sequence[str], house: Path, place: Path) -> Path:
    """Publish in `place` the finished experiment of a configuration and its overlays; the folder of it.

    It has the last overlay's name.

    Reads results/ and reports/ of the working directory. Raises InputError where something is not there, is
    damaged, of other runs than the configuration's, or older than the summary of these; and where the folder
    holds what was not published.
    """
    config = read_configuration(paths)
    experiment = Experiment(config, house)
    names = [Path(path).stem for path in paths[1:]]
    target, copied = _target(place, names), _published(experiment)
    gathered = finished_runs(experiment, [source for source, _ in copied])
    with whole_folder(target) as folder:
        for source, name in copied:
            (folder / name).parent.mkdir(exist_ok=True)
            _copy(source, folder / name)
        parquet.write(gathered.cells(config["seed"]), folder / CELLS, "table", {"runs": gathered.made_by})
        write_text(folder / CONFIG, yaml.safe_dump(config, sort_keys=False, allow_unicode=True, width=140))
        told = _provenance(experiment, gathered, names, house)
        told["files"] = {
            path.relative_to(folder).as_posix(): file_sha256(path) for path in visible_tree(folder)
        }
        write_text(folder / PROVENANCE, json.dumps(told, indent=1, ensure_ascii=False) + "\n")
        write_text(
            folder / CRATE, json.dumps(crate_metadata(folder, told), indent=1, ensure_ascii=False) + "\n"
        )
    return target


def _target(place: Path, names: Sequence[str]) -> Path:
    """The folder of an experiment; InputError where it would take the place of anything else."""
    name = names[-1] if names else DEFAULT
    if not NAME.fullmatch(name) or (names and name == DEFAULT):
        told = f"expected letters, digits, - and _, and not {DEFAULT}"
        raise InputError(f"experiments/{name}.yaml: its name is the folder's, {told}")
    target = place / name
    if target.is_symlink() or (target.exists() and not target.is_dir()):
        raise InputError(f"{target}: is there and no folder, expected none or one that was published")
    ours = {*read_told(target)["files"], PROVENANCE, CRATE} if target.exists() else set()
    if others := {path.relative_to(target).as_posix() for path in visible_tree(target)} - ours:
        raise InputError(f"{target}: holds {min(others)}, which was not published; move it first")
    return target


def _published(experiment: Experiment) -> list[tuple[Path, str]]:
    """What is copied, and the name that it gets."""
    tables, comparisons, figures = contents(experiment)
    summaries = {"runs", "cases", "example"} | {TABLES[name].made_of for name in (*tables, *comparisons)}
    found = [(SUMMARY.with_stem(name), f"summary/{name}.parquet") for name in sorted(summaries)]
    for name in [*tables, *comparisons]:
        found += [(Path(f"results/tables/{name}.{end}"), f"tables/{name}.{end}") for end in ("md", "csv")]
    found += [(Path(f"results/figures/{name}.png"), f"figures/{name}.png") for name in figures]
    return [*found, (Path("reports/tables.pdf"), "tables.pdf")]


def _copy(source: Path, target: Path) -> None:
    try:
        if source.stat().st_mtime < SUMMARY.stat().st_mtime:  # of what ran here before
            raise InputError(f"{source}: is older than {SUMMARY}; {FIRST}")
        shutil.copyfile(source, target)
    except FileNotFoundError:
        raise InputError(f"{source}: is missing; {FIRST}") from None


def _provenance(
    experiment: Experiment, gathered: Gathered, names: Sequence[str], house: Path
) -> dict[str, Any]:
    made_by = list(gathered.made_by.values())
    jobs = job_times(Path("results"), experiment)
    return {
        "experiment": names,
        "command": "make" + (f' EXPERIMENT="{" ".join(names)}"' if names else ""),
        "published": datetime.now(UTC).date().isoformat(),
        "commit": said_by_git(house, "rev-parse", "HEAD"),
        "changed_files": changed_files(house),
        "machines": sorted({f"{made['device_name']} ({made['device']})" for made in made_by}),
        "packages": dict(sorted((one.name, one.version) for one in distributions())),
        "sources": _sources(experiment, Path("results/sources")),
        "hours": {rule: round(seconds / 3600, 4) for rule, seconds in jobs.items()},
        "runs": gathered.made_by,
    }


def _sources(experiment: Experiment, folder: Path) -> dict[str, dict[str, str]]:
    """By source that the experiment reads, the sha256 of its files, as noted when they were fetched."""
    found = {}
    for name in experiment.used_sources:
        if noted := noted_sums(folder / name):
            found[name] = noted
    return found


def job_times(results: Path, experiment: Experiment) -> dict[str, float]:
    """By rule the seconds that the jobs of an experiment took; those of edits from their iterations.

    A job that was cut off counts from where it last went on, but for edits: iterations keep their times. A
    run that makes the updates of another one gentler has that one's iterations, which count once.
    """
    seconds: dict[str, float] = defaultdict(float)
    own = {*experiment.runs, *experiment.models}
    for entry in (run.entry for run in experiment.runs.values()):
        own |= {f"{entry.model}/{entry.dataset}", f"{entry.model}/{entry.corpus}"}
    for path in sorted((results / "benchmarks").rglob("*.tsv")):
        rule, *of = path.relative_to(results / "benchmarks").with_suffix("").parts
        if rule == EDIT or "/".join(of) not in own:
            continue
        try:
            with open(path, encoding="utf-8", newline="") as file:
                seconds[rule] += sum(float(row["s"]) for row in csv.DictReader(file, delimiter="\t"))
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise InputError(f"{path}: expected Snakemake's times of a job ({error})") from error
    for path, run in experiment.runs.items():
        if run.method.regularises:
            continue
        rows = parquet.read(RunFiles.of(path, results).iterations, "iterations")
        seconds[EDIT] += sum(row["seconds_total"] for row in rows)
    return dict(seconds)


def changed_files(house: Path) -> list[str] | None:
    """Files that differ from the commit, but for published results, which publishing itself changes; None
    where the workflow's folder is no repository."""
    asked = ("status", "--porcelain", "-z", "--no-renames", "--", ".", ":(exclude)docs/results")
    status = said_by_git(house, *asked)
    return None if status is None else [line[3:] for line in status.split("\0") if line]
