"""`make`: an experiment from its configuration files to its tables, in the terminal."""

import os
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from reedit.errors import InputError
from reedit.jobs.job import errors_since
from reedit.watch.call import SNAKEMAKE, cores_of, run_watched
from reedit.watch.course import ALWAYS
from reedit.watch.view import headline

LOGS, TABLES = Path("results/logs"), Path("results/tables")
LOG = LOGS / "make.log"
PDF, PAGE, ARCHIVE = Path("reports/tables.pdf"), Path("reports/explore.html"), Path("reports/report.zip")
LOCKED = "Another run is at work in this folder: wait for it. If it was killed: .venv/bin/snakemake --unlock"
NO_CHANGE = "Nothing to be done"


def run_experiment(overlays: Sequence[str], cores: str, arguments: Sequence[str]) -> int:
    """Run the experiment of config.yaml and its overlays (paths), and print its tables; the exit status.

    `cores` and `arguments` are Snakemake's. What went wrong is said last. Raises InputError where nothing can
    be written, KeyboardInterrupt where it was interrupted.
    """
    for folder in (Path.cwd(), Path.cwd() / "results"):
        if folder.exists() and not os.access(folder, os.W_OK):
            raise InputError(f"{folder}: may not be written to; make it writable, or work in a copy")
    asked = [*(["--configfile", *overlays] if overlays else []), "--cores", cores]
    began = time.time()
    course = run_watched("make", [*SNAKEMAKE, *asked, *arguments], LOG, os.environ, cores_of(cores))
    if course.status and any(Path(".snakemake/locks").glob("*")):
        raise InputError(LOCKED)
    if course.status:
        # where all but the PDF succeeded, the tables are up to date
        dry = _snakemake(*asked, "--dry-run", *map(str, TABLES.glob("table[127].md")))
        _print(*(main_tables() if NO_CHANGE in dry.stdout else []))
        subprocess.run(["sh", "envs/latex.sh"], check=False)  # which says what the PDF may have lacked
        _print("", *course.errors(errors_since(LOGS, began), LOG), f"All that was said: {LOG}")
        return course.status
    if course.done:
        _print(f"[make] {headline(course)}; all that was said: {LOG}")
    else:  # it had nothing to do, or was asked something
        _print(
            *(
                line
                for line in LOG.read_text(encoding="utf-8", errors="replace").splitlines()
                if not ALWAYS.match(line)
            )
        )
    archived = _archive(asked)
    _print(*main_tables(), "", *filter(Path.exists, (PDF, PAGE)))
    return archived


def main_tables() -> list[str]:
    """Tables 1 and 2 as text; Table 7, which is Table 1 for data of ZsRE's kind, where that has no line."""
    files = {number: TABLES / f"table{number}.md" for number in (1, 2, 7)}
    texts = {number: file.read_text(encoding="utf-8") for number, file in files.items() if file.exists()}
    if any(line.startswith("|") for line in texts.get(1, "").splitlines()):
        texts.pop(7, None)
    return [f"\n{text.rstrip()}" for text in texts.values()]


def _archive(asked: Sequence[str]) -> int:
    """Make reports/report.zip, where it is older than what it holds; the exit status."""
    holds = [file for file in (PDF, PAGE, Path("results/summary/runs.parquet")) if file.exists()]
    made = ARCHIVE.stat().st_mtime if ARCHIVE.exists() else 0.0
    if not PDF.exists() or all(file.stat().st_mtime <= made for file in holds):
        return 0
    done = _snakemake(*asked, "--report", str(ARCHIVE))
    with open(LOG, "a", encoding="utf-8") as log:
        log.write(done.stdout)
    if done.returncode:
        print(done.stdout)
    return done.returncode


def _print(*lines: object) -> None:
    if lines:
        print(*lines, sep="\n", flush=True)


def _snakemake(*arguments: str) -> subprocess.CompletedProcess:
    """A call of Snakemake beside the run: its status, and what it says."""
    return subprocess.run(
        [sys.executable, "-m", "snakemake", *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        env={**os.environ, "PYTHONIOENCODING": "utf-8"},
        encoding="utf-8",
        errors="replace",
        check=False,
    )
