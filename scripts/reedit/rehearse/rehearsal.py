"""A rehearsal from its configuration files to its report."""

import fcntl
import os
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from reedit.errors import InputError
from reedit.jobs.job import errors_since
from reedit.rehearse.preparation import prepare_rehearsal
from reedit.rehearse.report import Outcome, report_lines
from reedit.settings.overlays import read_experiment
from reedit.storage.files import write_text
from reedit.watch.call import Elsewhere, run_elsewhere

FOLDER, RESULTS = Path("rehearsal"), Path("results")
LOG, REPORT = FOLDER / "rehearsal.log", FOLDER / "report.md"


def rehearse(paths: Sequence[str], house: Path, cores: str) -> int:
    """Rehearse the experiment of a configuration file and its overlays in rehearsal/; 0 if every job ran.

    What an earlier rehearsal has left and still holds is not done again. Raises InputError before any job
    where the configuration is wrong, a tokenizer is not to be had, or another rehearsal is at work.
    """
    with alone(FOLDER):
        return _rehearse(paths, house, cores)


@contextmanager
def alone(folder: Path) -> Iterator[None]:
    """Hold `folder` while the block lasts; InputError where another process holds it.

    By a lock that the system takes back however this process ends: after a kill nothing has to be unlocked.
    """
    folder.mkdir(parents=True, exist_ok=True)
    with open(folder / ".lock", "a") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise InputError(f"{folder}: another rehearsal is at work here; wait for it") from None
        yield


def _rehearse(paths: Sequence[str], house: Path, cores: str) -> int:
    began, start = time.time(), time.monotonic()
    real = read_experiment(paths, house)
    config = prepare_rehearsal(real, FOLDER, RESULTS, house / "resources/general-sentences.json")
    rehearsed = read_experiment([config], house)
    arguments = ["--max-threads", "1", "--resources", f"gpu={os.cpu_count()}", "--keep-going"]
    arguments += ["--scheduler", "greedy"]  # which job comes first matters little, and deciding it takes time
    arguments += ["--nolock"]  # after a kill Snakemake's own lock would stay
    course = run_elsewhere("rehearse", Elsewhere(FOLDER, config, house), cores, arguments, LOG)
    logs = FOLDER / "results/logs"
    jobs = sum(log.stat().st_mtime >= began for log in logs.rglob("*.log"))
    errors = course.errors(errors_since(logs, began), LOG) if course.status else []
    outcome = Outcome(course.status, jobs, time.monotonic() - start, errors)
    name = ", ".join(Path(path).stem for path in paths[1:]) or "the default experiment"
    lines = report_lines(real, rehearsed, FOLDER, RESULTS, outcome)
    text = "\n".join([f"# Rehearsal of {name}", "", *lines, ""])
    write_text(REPORT, text)
    print(f"\n{text}\nThis report: {REPORT}. All that the jobs said: {LOG}.")
    if course.status == 0:
        print(f"Its tables: {FOLDER}/reports/tables.pdf.")
    return course.status
