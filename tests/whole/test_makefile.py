"""What `make` says, with stubs in place of the setup and of Snakemake."""

import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from textwrap import dedent, indent

import pytest
from workflow import REPOSITORY

LOCKED = "Another run is at work in this folder: wait for it. If it was killed: .venv/bin/snakemake --unlock"
HEAD = "Using shell: /usr/bin/bash\nProvided cores: 2\n"
JOBS = "Job stats:\njob count\n--- ---\na 1\nb 1\ntotal 2\n\nSelect jobs to execute...\n"
BEGUN = "[Sun Nov 29 14:02:59 2026]\nrule {0}:\n    log: results/logs/{0}.log\n    jobid: {1}\n"
DONE = "[Sun Nov 29 14:02:59 2026]\nFinished jobid: {1} (Rule: {0})\n{1} of 2 steps (50%) done\n"
FAILED = "Error in rule {0}:\n    jobid: {1}\n    log: results/logs/{0}.log (check log file(s))\n"
NOTHING = "Nothing to be done (all requested files are present and up to date)."


@pytest.fixture
def house(tmp_path: Path) -> Path:
    """A checkout at an odd path whose setup does nothing, with a table from before."""
    tmp_path = tmp_path / "a [b] o'neill $HOME"
    tmp_path.mkdir()
    shutil.copy(REPOSITORY / "Makefile", tmp_path)
    for name in ("results/tables", "results/logs", "reports", "envs", "experiments", ".venv/bin", "scripts"):
        (tmp_path / name).mkdir(parents=True)
    for name in ("envs/setup.sh", "envs/latex.sh"):
        (tmp_path / name).write_text("#!/bin/sh\n")
    shutil.copy(REPOSITORY / "scripts/run_experiment.py", tmp_path / "scripts")
    (tmp_path / "scripts/reedit").symlink_to(REPOSITORY / "scripts/reedit")
    (tmp_path / ".venv/bin/python").write_text(f'#!/bin/sh\nexec {shlex.quote(sys.executable)} "$@"\n')
    (tmp_path / ".venv/bin/python").chmod(0o755)
    (tmp_path / "results/tables/table1.md").write_text("| a table |\n")
    (tmp_path / "results/tables/table7.md").write_text("| another table |\n")
    says(tmp_path, HEAD + NOTHING)
    return tmp_path


def says(house: Path, text: str, status: int = 0, then: str = "") -> None:
    """Have Snakemake say `text` where it runs, and do as `then` does; a dry run finds nothing to do."""
    package = house / "scripts/snakemake"
    package.mkdir(exist_ok=True)
    (package / "__init__.py").touch()
    (package / "__main__.py").write_text("from snakemake.cli import main\nmain()\n")
    (package / "cli.py").write_text(
        dedent("""\
            import sys, time
            from pathlib import Path

            def main():
                with Path("asked").open("a") as asked:
                    print(*sys.argv[1:], file=asked)
                if "--report" in sys.argv:
                    Path("reports/report.zip").write_text("a report")
                elif "--dry-run" in sys.argv:
                    print("Nothing to be done")
                else:
            """)
        + f"        print({text!r}, file=sys.stderr, flush=True)\n"
        + indent(dedent(then), " " * 8)
        + f"        sys.exit({status})\n"
    )


def outside() -> dict[str, str]:
    """The environment without what another make, as `make test` is, has put there."""
    its = ("MAKEFLAGS", "MAKELEVEL", "MFLAGS", "PYTHONPATH")
    return {name: value for name, value in os.environ.items() if name not in its}


def make(house: Path, *arguments: str, **environment: str) -> tuple[int, str]:
    done = subprocess.run(
        ["make", "CORES=2", *arguments],
        cwd=house,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
        env=outside() | environment,
    )
    return done.returncode, done.stdout


def asked(house: Path) -> list[str]:
    return (house / "asked").read_text().splitlines()


def test_tables_are_the_last_thing_that_a_run_prints(house: Path) -> None:
    (house / "reports/tables.pdf").touch()
    (house / "reports/explore.html").touch()
    job = BEGUN.format("a", 1) + "[a] a word of the job\n" + DONE.format("a", 1)
    says(house, HEAD + JOBS + job + BEGUN.format("b", 2) + DONE.format("b", 2))
    status, output = make(house)
    assert status == 0
    first, *lines = output.splitlines()
    assert re.fullmatch(
        r"\[make\] 2 of 2 jobs done in 0:\d\d; all that was said: results/logs/make.log", first
    )
    assert lines == ["", "| a table |", "", "reports/tables.pdf", "reports/explore.html"]
    assert "[a] a word of the job\n" in (house / "results/logs/make.log").read_text()
    assert asked(house) == ["--cores 2", "--cores 2 --report reports/report.zip"]
    make(house)
    assert len(asked(house)) == 3  # the report is newer than what it holds


def test_table_7_is_printed_where_table_1_has_no_line(house: Path) -> None:
    (house / "results/tables/table1.md").write_text("Nothing of CounterFact was edited.\n")
    assert make(house)[1].splitlines()[-4:-1] == [
        "Nothing of CounterFact was edited.",
        "",
        "| another table |",
    ]


def test_experiments_and_arguments_reach_snakemake_and_its_answer_is_printed(house: Path) -> None:
    for name in "ab":
        (house / f"experiments/{name}.yaml").touch()
    status, output = make(house, "EXPERIMENT=a b", "ARGS=--unlock 'two words'")
    assert status == 0 and output.splitlines()[:2] == [NOTHING, ""]
    assert asked(house) == ["--configfile experiments/a.yaml experiments/b.yaml --cores 2 --unlock two words"]


def test_what_went_wrong_is_said_last_and_tables_that_are_whole_before(house: Path) -> None:
    said = "2026-11-29 14:02:59,123 ERROR error: a bad line\n"
    begun = BEGUN.format("a", 1) + BEGUN.format("b", 2)
    log = f"Path('results/logs/a.log').write_text({said!r})\n"
    says(house, HEAD + JOBS + begun + FAILED.format("a", 1) + FAILED.format("b", 2), 1, log)
    status, output = make(house)
    assert status
    lines = output.splitlines()
    assert "| a table |" in lines[: lines.index("[a] error: a bad line")]
    assert lines[lines.index("[a] error: a bad line") :][:3] == [
        "[a] error: a bad line",
        "[b] failed: results/logs/b.log or results/logs/make.log says why",
        "All that was said: results/logs/make.log",
    ]
    assert lines[-1].startswith("make: ***")


def test_a_profile_that_a_site_names_is_left_aside_and_a_line_says_so(house: Path) -> None:
    """A cluster's executor is not installed here, and Snakemake would end in its usage."""
    says(
        house,
        HEAD + NOTHING,
        then="import os; Path('given').write_text(str('SNAKEMAKE_PROFILE' in os.environ))\n",
    )
    status, output = make(house, SNAKEMAKE_PROFILE="slurm")
    assert status == 0 and (house / "given").read_text() == "False"
    line = "make works on this machine, without the profile slurm of SNAKEMAKE_PROFILE; for a cluster:"
    assert output.splitlines()[0] == f"{line} docs/cluster.md"


@pytest.mark.parametrize("encoding", ["ascii", "latin-1", "utf-8"])
def test_a_table_is_printed_whatever_the_terminal_can_print(house: Path, encoding: str) -> None:
    (house / "results/tables/table1.md").write_text("| abs Δp † |\n", encoding="utf-8")
    says(house, HEAD + JOBS + BEGUN.format("a", 1) + DONE.format("a", 1) + "→ ü\n")
    status, output = make(house, PYTHONIOENCODING=encoding)
    assert status == 0 and ("| abs ?p ? |" in output) == (encoding != "utf-8")
    assert "→ ü" in (house / "results/logs/make.log").read_text(encoding="utf-8")


def test_no_file_in_the_checkout_stands_for_a_library(house: Path) -> None:
    for name in ("random", "json", "logging", "yaml"):
        (house / f"{name}.py").write_text(f"raise SystemExit('a foreign {name}')\n")
    assert make(house)[0] == 0 and asked(house) == ["--cores 2"]


def test_an_error_before_any_job_is_said_whole(house: Path) -> None:
    says(house, HEAD + "config: models.tiny.dtyp: unknown, expected dtype", 1)
    status, output = make(house)
    assert status and "config: models.tiny.dtyp: unknown, expected dtype\n" in output
    assert "Provided cores" not in output


def test_a_second_run_is_told_that_another_one_is_at_work_and_prints_no_tables(house: Path) -> None:
    says(house, "no matter", 1)
    status, output = make(house)
    assert status and "| a table |" in output and LOCKED not in output  # it failed for another reason
    (house / ".snakemake/locks").mkdir(parents=True)
    (house / ".snakemake/locks/0.output.lock").touch()
    (house / "asked").unlink()
    status, output = make(house)
    assert status and output.count(LOCKED) == 1 and "| a table |" not in output
    assert len(asked(house)) == 1


def test_an_interrupt_is_passed_on_once_and_waited_for(house: Path) -> None:
    then = """
        try:
            time.sleep(60)
        except KeyboardInterrupt:
            time.sleep(1)
            print("put away")
    """
    says(house, HEAD + JOBS + BEGUN.format("a", 1), 1, then)
    process = subprocess.Popen(
        ["make", "CORES=2"],
        cwd=house,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env=outside(),
        start_new_session=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
    )
    deadline = time.monotonic() + 30
    while not (house / "asked").exists() and time.monotonic() < deadline:
        time.sleep(0.05)
    time.sleep(1)
    os.killpg(process.pid, signal.SIGINT)  # as a terminal does
    output, _ = process.communicate(timeout=60)
    assert process.returncode and "interrupted; the same command goes on from here\n" in output
    assert "Traceback" not in output and "| a table |" not in output
    assert (
        "put away\n" in (house / "results/logs/make.log").read_text()
    )  # that no job can start is said there too


def test_a_folder_that_may_not_be_written_to_is_one_line_before_anything_runs(house: Path) -> None:
    results = house / "results"
    at, here = shlex.quote(str(results)), shlex.quote(str(house))
    command = f"mount --bind {at} {at} && mount -o remount,ro,bind {at} && make -C {here}"
    done = subprocess.run(
        ["unshare", "--mount", "sh", "-c", command], capture_output=True, text=True, check=False
    )
    if "make:" not in done.stdout + done.stderr:
        pytest.skip(f"nothing can be mounted here: {done.stderr.strip()}")
    assert done.returncode and not (house / "asked").exists()
    assert f"{house}/results: may not be written to; make it writable, or work in a copy" in done.stderr
