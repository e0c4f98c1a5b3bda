"""A workflow that is watched: what it says goes to a log, and it ends with whoever runs it."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from textwrap import dedent

import pytest
from workflow import REPOSITORY

SLOW = """
import os, sys, time
def main():
    print(os.getpid(), flush=True)
    try:
        time.sleep(60)
    except KeyboardInterrupt:
        print("put away", flush=True)
        sys.exit(1)
"""
# signals as in a terminal; what a script starts in the background ignores an interrupt
START = """
import os, signal
from pathlib import Path
from textwrap import dedent
from reedit.watch import call
signal.signal(signal.SIGINT, signal.default_int_handler)
call.IMPORTED = ("json",)
course = call.run_watched("test", ["a_workflow", "main"], Path("logs/log"), dict(os.environ), 2)
print(course.status, course.done, course.words)
"""


def watched(folder: Path, workflow: str, **how: object) -> subprocess.Popen:
    """A process that watches a workflow whose `main` is in the text `workflow`."""
    (folder / "a_workflow.py").write_text(workflow)
    environment = os.environ | {"PYTHONPATH": f"{REPOSITORY / 'scripts'}{os.pathsep}{folder}"}
    command = [sys.executable, "-c", START]
    return subprocess.Popen(command, cwd=folder, env=environment, text=True, **how)


def wait_for(condition, seconds: float = 30.0) -> bool:
    deadline = time.monotonic() + seconds
    while not (found := condition()) and time.monotonic() < deadline:
        time.sleep(0.05)
    return found


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT])
def test_a_workflow_ends_with_who_runs_it_and_puts_away_what_it_was_at(
    tmp_path: Path, how: signal.Signals
) -> None:
    holder, log = watched(tmp_path, SLOW, stderr=subprocess.DEVNULL), tmp_path / "logs/log"
    assert wait_for(lambda: log.exists() and log.read_text().endswith("\n"))
    process = Path(f"/proc/{int(log.read_text())}")
    assert process.exists()
    holder.send_signal(how)
    assert holder.wait(timeout=20) != 0
    assert wait_for(lambda: not process.exists())
    assert log.read_text().endswith("put away\n")


def test_all_that_is_said_goes_to_the_log_and_how_far_it_is_to_the_terminal(tmp_path: Path) -> None:
    workflow = """
        import sys, time
        def main():
            print("Job stats:\\njob count\\n--- ---\\na 2\\ntotal 2\\n", flush=True)
            print("rule a:\\n    jobid: 1\\n    log: results/logs/a/x.log", file=sys.stderr, flush=True)
            print("[a x] half \\xff", end="", flush=True)
            time.sleep(1)
            print(" of it\\nFinished jobid: 1 (Rule: a)\\n1 of 2 steps (50%) done\\nno end of line", end="")
            sys.exit(3)
    """
    done = watched(tmp_path, dedent(workflow), stdout=subprocess.PIPE)
    output, _ = done.communicate(timeout=60)
    lines = output.splitlines()
    assert lines[0].startswith("[test] 0 of 2 jobs done in 0:0") and lines[0].endswith("; a x")
    assert lines[1:] == ["3 1 []"]
    assert (
        (tmp_path / "logs/log")
        .read_text()
        .endswith("[a x] half ÿ of it\nFinished jobid: 1 (Rule: a)\n1 of 2 steps (50%) done\nno end of line")
    )
