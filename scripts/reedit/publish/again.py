"""make compare-results: a part of published results computed again, and which cells come out as published.

A part is MODEL/DATASET/METHOD, of all trials; @2 behind it stops after two iterations, which do not depend on
those after them. It runs from the published configuration, in compared/.
"""

import math
import time
from collections.abc import Mapping, Sequence
from dataclasses import astuple, dataclass
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

import yaml

from reedit.errors import InputError, is_count
from reedit.jobs.job import errors_since
from reedit.publish.folder import CELLS, CONFIG, check_files, read_told
from reedit.report import words
from reedit.report.rows.runs import RunFiles, gathered_in
from reedit.settings.experiment import Experiment
from reedit.settings.overlays import overlaid, read_configuration
from reedit.storage import parquet
from reedit.storage.files import write_text
from reedit.watch.call import Elsewhere, run_elsewhere

FOLDER = Path("compared")
LOG, REPORT = FOLDER / "compare.log", FOLDER / "report.md"
KEY = ("model", "dataset", "method", "protocol", "edits", "k", "measure")
SAME, WITHIN, OUTSIDE, UNJUDGED = "same", "within", "OUTSIDE", "no interval"


@dataclass(frozen=True)
class Part:
    """Some runs of an experiment by a pattern of their path (* stands for anything), up to an iteration."""

    pattern: str
    k: int | None

    def holds(self, model: str, dataset: str, method: str) -> bool:
        return fnmatchcase(f"{model}/{dataset}/{method}", self.pattern)

    def has(self, row: Mapping[str, Any]) -> bool:
        """Whether a row of schema "table" is of these runs, within these iterations."""
        own = self.holds(row["model"], row["dataset"], row["method"]) or row["k"] == 0
        return own and (self.k is None or row["k"] <= self.k)


@dataclass(frozen=True)
class Cell:
    """A number of the published results, its interval where it has one, and what it is now."""

    key: tuple[Any, ...]
    published: float | None
    low: float | None
    high: float | None
    now: float | None

    @property
    def verdict(self) -> str:
        """`same` as printed; else whether it lies within the published interval."""
        if _printed(self, self.published) == _printed(self, self.now):
            return SAME
        if self.low is None or self.high is None:
            return UNJUDGED
        return WITHIN if self.now is not None and self.low <= self.now <= self.high else OUTSIDE


def part_of(text: str) -> Part:
    """smollm2-135m/counterfact/memit@2 read; InputError for anything else."""
    pattern, at, k = text.partition("@")
    if pattern.count("/") != 2 or (at and not is_count(k)):
        raise InputError(f"PART={text}: expected MODEL/DATASET/METHOD, and @ITERATIONS behind it if fewer")
    return Part(pattern, int(k) if at else None)


def run_again(folder: Path, text: str, house: Path, cores: str) -> int:
    """Compute a part of the results in `folder` again and compare; 0 where no cell lies outside its interval.

    Raises InputError where there is no such part, or nothing is published there.
    """
    part, began = part_of(text), time.time()
    told = read_told(folder)
    check_files(folder, told["files"], (CONFIG, CELLS))
    real = Experiment(read_configuration([folder / CONFIG]), house)
    config = overlaid(real.config, part_overlay(real, part))
    published = [row for row in parquet.read(folder / CELLS, "table") if part.has(row)]
    if not any(row["k"] for row in published):
        raise InputError(f"{folder / CELLS}: holds no cell of PART={text}")
    FOLDER.mkdir(exist_ok=True)
    write_text(FOLDER / CONFIG, yaml.safe_dump(config, sort_keys=False, allow_unicode=True))
    again = Experiment(config, house)
    paths = [path for path, run in again.runs.items() if part.holds(*path.split("/")[:3])]
    check_as_published(again, paths, house)
    wanted = [str(file) for path in paths for file in astuple(RunFiles.of(path, Path("results")))]
    elsewhere = Elsewhere(FOLDER, FOLDER / CONFIG, house)
    course = run_elsewhere("compare", elsewhere, cores, ["--", *wanted], LOG)
    if course.status:
        print("\n".join(course.errors(errors_since(FOLDER / "results/logs", began), LOG)))
        return course.status
    found = gathered_in(FOLDER / "results", [again.identity(again.runs[path]) for path in paths])
    cells = compared(published, found.cells(config["seed"]))
    lines = report_lines(text, told, cells)
    write_text(REPORT, "\n".join([*lines, ""]))
    outside = [cell for cell in cells if cell.verdict == OUTSIDE]
    print("\n".join([*lines[:4], *map(_line, outside), "", f"Every cell: {REPORT}."]))
    return int(bool(outside))


def check_as_published(experiment: Experiment, paths: Sequence[str], house: Path) -> None:
    """Raise InputError where config.yaml of `house`, over which the workflow lays what was published, has got
    a key since that would change one of the runs."""
    below = read_configuration([house / "config.yaml"])
    laid = Experiment(overlaid(below, experiment.config), house)
    for path in paths:
        settings = [
            (one.edit_settings(one.runs[path]), one.score_settings(one.runs[path]))
            for one in (experiment, laid)
        ]
        if settings[0] != settings[1]:
            raise InputError(f"config.yaml: has keys that would change {path} as published; expected none")


def part_overlay(experiment: Experiment, part: Part) -> dict[str, Any]:
    """What is laid over a published configuration, so that only a part of it runs, in another folder.

    An entry keeps all of its methods, since its cases are drawn for all of them.
    """
    entries = []
    for entry in experiment.config["runs"]:
        if any(part.holds(entry["model"], entry["dataset"], method) for method in entry["methods"]):
            fewer = {"iterations": min(entry["iterations"], part.k)} if part.k else {}
            entries.append({key: entry[key] for key in entry if not (part.k and key == "extend_to")} | fewer)
    if not entries:
        known = sorted({path.rpartition("/")[0] for path in experiment.runs})
        raise InputError(f"PART={part.pattern}: no such part; there are {', '.join(known)}")
    return {"sources": experiment.files.absolute(), "runs": entries}


def compared(published: Sequence[Mapping[str, Any]], now: Sequence[Mapping[str, Any]]) -> list[Cell]:
    """What the cells of `published`, rows of schema "table", are now: nothing where they did not come out.

    Of unedited models those alone that both have: a part needs one of them.
    """
    found = {tuple(row[name] for name in KEY): row["mean"] for row in now}
    return [
        Cell(key, row["mean"], row["low"], row["high"], found.get(key))
        for row in published
        if (key := tuple(row[name] for name in KEY)) in found or row["k"] > 0
    ]


def report_lines(part: str, told: Mapping[str, Any], cells: Sequence[Cell]) -> list[str]:
    """The page that says what came out again."""
    verdicts = [cell.verdict for cell in cells]
    counts = ", ".join(f"{verdicts.count(v)} {v}" for v in (SAME, WITHIN, OUTSIDE, UNJUDGED))
    return [
        f"# {part}, computed again",
        "",
        f"{len(cells)} cells, published on {told['published']} from {told['commit']}: {counts}.",
        "",
        "| model | dataset | method | protocol | edits | k | measure | then | interval | now | verdict |",
        "| --- | --- | --- | --- | --: | --: | --- | --: | --- | --: | --- |",
        *map(_line, cells),
    ]


def _line(cell: Cell) -> str:
    bounds = [_printed(cell, cell.low), _printed(cell, cell.high)]
    interval = f"[{bounds[0]}, {bounds[1]}]" if all(bounds) else ""
    told = [_printed(cell, cell.published), interval, _printed(cell, cell.now), cell.verdict]
    return "| " + " | ".join([*map(str, cell.key), *told]) + " |"


def _printed(cell: Cell, value: float | None) -> str:
    share = str(cell.key[-1]).endswith(("_accuracy", "_success"))
    if value is not None and not math.isfinite(value):
        return str(value)
    return words.share(value) if share else words.perplexity(value)
