"""A command of many jobs as a person watches it: one line of progress, errors, and the rest in a log."""

import re
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path

from reedit.jobs.progress import progress

STEPS = re.compile(r"^(\d+) of (\d+) steps \(\d+%\) done")


def run_logged(command: Sequence[str], log: Path, environment: Mapping[str, str]) -> int:
    """Run a Snakemake call, its whole output in `log`, and tell how far it is; its exit status."""
    log.parent.mkdir(parents=True, exist_ok=True)
    report = None
    with (
        open(log, "w", encoding="utf-8") as file,
        subprocess.Popen(
            command,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            env=environment,
            text=True,
            errors="replace",
        ) as process,
    ):
        for line in process.stdout:
            file.write(line)
            file.flush()
            if found := STEPS.match(line):
                done, total = map(int, found.groups())
                report = report or progress("jobs", total, every=15.0, begun=done - 1)
                report(done)
    return process.returncode
