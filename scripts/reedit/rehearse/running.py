"""A workflow of many small jobs as a person watches it: one line of progress, and the rest in a log."""

import re
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from reedit.jobs.progress import progress
from reedit.jobs.warm import warm

SNAKEMAKE = ("snakemake.cli", "main")  # a module and a function of it, then its arguments
# everything that takes long to import in a script of a rule
IMPORTED = ("torch", "transformers", "pandas", "matplotlib.figure", "snakemake.script", "plotly.offline")
IMPORTED += ("reedit.edit.edit_run", "reedit.evaluate.probes", "reedit.report.exploration")
STEPS = re.compile(r"^(\d+) of (\d+) steps \(\d+%\) done")


def run_warm(command: Sequence[str], log: Path, environment: Mapping[str, str]) -> int:
    """Run a workflow, `command`, whose scripts start warm (jobs/warm.py), one thread each; its exit status.

    `command` is a module, a function of it that takes no arguments, and what it finds in sys.argv. Its whole
    output goes to `log`; how far it is, to the logger.
    """
    module, function, *arguments = command
    environment = {**environment, "OMP_NUM_THREADS": "1"}
    log.parent.mkdir(parents=True, exist_ok=True)
    report = None
    with warm(IMPORTED, environment) as python, open(log, "w", encoding="utf-8") as file:
        start = f"import sys; sys.executable = {python!r}; from {module} import {function}; {function}()"
        process = subprocess.Popen(
            [sys.executable, "-c", start, *arguments],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            env=environment,
            text=True,
            errors="replace",
        )
        for line in process.stdout:
            file.write(line)
            file.flush()
            if found := STEPS.match(line):
                done, total = map(int, found.groups())
                report = report or progress("jobs", total, every=15.0, begun=done - 1)
                report(done)
        return process.wait()


def failed_jobs(log: Path) -> list[str]:
    """The jobs that ended badly, each once, by the log of the run: some could say nothing themselves."""
    text = log.read_text(encoding="utf-8", errors="replace")
    found = re.findall(r"^Error in rule (\w+):$(?:\n    .*)*?\n    log: (\S+)", text, re.MULTILINE)
    return [f"{rule} failed: {place} or {log} says why" for rule, place in dict.fromkeys(found)]
