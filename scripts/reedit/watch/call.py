"""A call of the workflow whose jobs start warm, watched while it lasts; its whole output goes to a log."""

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TextIO

from reedit.jobs.warm import warm
from reedit.watch.course import Course
from reedit.watch.view import View, view

SNAKEMAKE = ("snakemake.cli", "main")  # a module and a function of it, then its arguments
# everything that takes long to import in a script of a rule
IMPORTED = ("torch", "transformers", "pandas", "matplotlib.figure", "snakemake.script", "plotly.offline")
IMPORTED += ("reedit.edit.job.edit_run", "reedit.evaluate.probes", "reedit.report.page.data")
LONGEST = 8  # threads that a rule of this workflow asks for, at most
EVERY = 0.2  # seconds between two looks at the log
GRACE = 60  # seconds to put away what a workflow was at


def run_watched(
    name: str, command: Sequence[str], log: Path, environment: Mapping[str, str], cores: int
) -> Course:
    """Run a workflow, `command`, on `cores` cores to its end; its course, with the exit status.

    `command` is a module, a function of it that takes no arguments, and what it finds in sys.argv. Its
    scripts start warm (jobs/warm.py), its whole output goes to `log`, and how far it is to standard output,
    where `name` stands before each line. It ends with this process, however that ends. Where this one is
    interrupted, it is too, and KeyboardInterrupt is raised once it has put away what it was at.
    """
    module, function, *arguments = command
    log.parent.mkdir(parents=True, exist_ok=True)
    course, interrupt = Course(cores), None
    environment = {**environment, "PYTHONIOENCODING": "utf-8"}  # the log's, whatever the terminal's is
    with (
        open(log, "w", encoding="utf-8") as file,
        warm(IMPORTED, environment, min(cores, LONGEST), file) as python,
        view(name) as shown,
    ):
        start = f"from {__name__} import end_with_asker; end_with_asker(); import sys;"
        start += f" sys.executable = {python!r}; from {module} import {function}; {function}()"
        process = subprocess.Popen(
            [sys.executable, "-c", start, *arguments],
            stdin=subprocess.PIPE,  # closed with this process
            stdout=file,
            stderr=file,
            env=environment,
            start_new_session=True,  # a terminal's interrupt comes through this process, once
        )
        with open(log, encoding="utf-8", errors="replace") as output:
            while course.status is None:
                try:
                    _watch(process, output, course, shown)
                except KeyboardInterrupt as error:
                    interrupt = error
                    os.killpg(process.pid, signal.SIGINT)
    if interrupt:
        raise interrupt
    return course


@dataclass(frozen=True)
class Elsewhere:
    """A folder that the workflow of `house` runs in, by a configuration file of its own."""

    folder: Path
    config: Path
    house: Path


def run_elsewhere(name: str, place: Elsewhere, cores: str, arguments: Sequence[str], log: Path) -> Course:
    """`run_watched` of the workflow in another folder; `arguments` are Snakemake's further ones."""
    given = ["--snakefile", str(place.house / "Snakefile"), "--directory", str(place.folder)]
    given += ["--configfile", str(place.config.resolve()), "--cores", cores, "--rerun-incomplete"]
    environment = {**os.environ, "PYTHONPATH": str(place.house / "scripts")}
    return run_watched(name, [*SNAKEMAKE, *given, *arguments], log, environment, cores_of(cores))


def cores_of(asked: str) -> int:
    """How many cores Snakemake takes `--cores` for."""
    return int(asked) if asked.isdecimal() else len(os.sched_getaffinity(0))


def _watch(process: subprocess.Popen, output: TextIO, course: Course, shown: View) -> None:
    """Read what `process` says, and show the course of it, until it has ended."""
    begun = ""  # of a line that is not whole yet
    while course.status is None:
        ended = process.poll()
        for piece in iter(output.readline, ""):
            begun += piece
            if begun.endswith("\n"):
                course.read(begun)
                begun = ""
        shown.show(course)
        course.status = ended
        if ended is None:
            time.sleep(EVERY)


def end_with_asker() -> None:
    """Have this process, of a session of its own, end once its standard input is closed.

    As by an interrupt: what it was at is put away. To be called before anything else that listens to signals.
    """
    signal.signal(signal.SIGINT, signal.default_int_handler)  # which a shell's background has it ignore

    def wait() -> None:
        os.read(0, 1)
        os.killpg(0, signal.SIGINT)
        time.sleep(GRACE)
        os.killpg(0, signal.SIGKILL)

    threading.Thread(target=wait, daemon=True).start()
