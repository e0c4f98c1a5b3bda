"""A workflow of many small jobs as a person watches it: one line of progress, and the rest in a log."""

import fcntl
import os
import re
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from reedit.errors import InputError
from reedit.jobs.progress import progress
from reedit.jobs.warm import warm

SNAKEMAKE = ("snakemake.cli", "main")  # a module and a function of it, then its arguments
# everything that takes long to import in a script of a rule
IMPORTED = ("torch", "transformers", "pandas", "matplotlib.figure", "snakemake.script", "plotly.offline")
IMPORTED += ("reedit.edit.job.edit_run", "reedit.evaluate.probes", "reedit.report.page.data")
STEPS = re.compile(r"^(\d+) of (\d+) steps \(\d+%\) done")


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


def end_with_asker() -> None:
    """Have this process end once its standard input is closed, as it is however the asking one ends."""
    threading.Thread(target=lambda: (os.read(0, 1), os._exit(1)), daemon=True).start()


def run_warm(command: Sequence[str], log: Path, environment: Mapping[str, str]) -> int:
    """Run a workflow, `command`, whose scripts start warm (jobs/warm.py), one thread each; its exit status.

    `command` is a module, a function of it that takes no arguments, and what it finds in sys.argv. Its whole
    output goes to `log`; how far it is, to the logger. It ends with this process, however that ends.
    """
    module, function, *arguments = command
    environment = {**environment, "OMP_NUM_THREADS": "1"}
    log.parent.mkdir(parents=True, exist_ok=True)
    report = None
    with warm(IMPORTED, environment) as python, open(log, "w", encoding="utf-8") as file:
        start = f"from {__name__} import end_with_asker; end_with_asker(); import sys;"
        start += f" sys.executable = {python!r}; from {module} import {function}; {function}()"
        process = subprocess.Popen(
            [sys.executable, "-c", start, *arguments],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            env=environment,
            text=True,
            errors="replace",
        )
        try:
            for line in process.stdout:
                file.write(line)
                file.flush()
                if found := STEPS.match(line):
                    done, total = map(int, found.groups())
                    report = report or progress("jobs", total, every=15.0, begun=done - 1)
                    report(done)
            return process.wait()
        finally:
            process.stdin.close()  # where it has not ended yet
            process.wait()


def failed_jobs(log: Path) -> list[str]:
    """The jobs that ended badly, each once, by the log of the run: some could say nothing themselves."""
    text = log.read_text(encoding="utf-8", errors="replace")
    found = re.findall(r"^Error in rule (\w+):$(?:\n    .*)*?\n    log: (\S+)", text, re.MULTILINE)
    return [f"{rule} failed: {place} or {log} says why" for rule, place in dict.fromkeys(found)]
