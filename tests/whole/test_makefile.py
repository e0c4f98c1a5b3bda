"""What `make` says where it may not run, with stubs in place of what it calls."""

import shutil
import subprocess
from pathlib import Path

import pytest
from workflow import REPOSITORY

LOCKED = "Another run is at work in this folder: wait for it. If it was killed: .venv/bin/snakemake --unlock"

FAIL_UNLESS_DRY = 'case "$*" in *dry-run*) echo "Nothing to be done";; *) false;; esac'


@pytest.fixture
def house(tmp_path: Path) -> Path:
    """A checkout whose setup does nothing and whose snakemake fails, and says what it was asked."""
    shutil.copy(REPOSITORY / "Makefile", tmp_path)
    for name in ("results/tables", "envs", ".venv/bin"):
        (tmp_path / name).mkdir(parents=True)
    for name, lines in {
        "envs/setup.sh": "",
        "envs/latex.sh": "",
        ".venv/bin/snakemake": f"echo asked: $*; {FAIL_UNLESS_DRY}",
    }.items():
        (tmp_path / name).write_text(f"#!/bin/sh\n{lines}\n")
        (tmp_path / name).chmod(0o755)
    (tmp_path / "results/tables/table1.md").write_text("| a table |\n")
    return tmp_path


def make(house: Path) -> tuple[int, str]:
    done = subprocess.run(
        ["make", "-C", house], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False
    )
    return done.returncode, done.stdout


def test_a_second_run_is_told_that_another_one_is_at_work_and_prints_no_tables(house: Path) -> None:
    status, output = make(house)
    assert status and "| a table |" in output and LOCKED not in output  # it failed for another reason
    (house / ".snakemake/locks").mkdir(parents=True)
    (house / ".snakemake/locks/0.output.lock").touch()
    status, output = make(house)
    assert status and output.count(LOCKED) == 1 and "| a table |" not in output
    assert output.count("asked: ") == 1


def test_a_folder_that_may_not_be_written_to_is_one_line_before_anything_runs(house: Path) -> None:
    results = house / "results"
    command = f"mount --bind {results} {results} && mount -o remount,ro,bind {results} && make -C {house}"
    done = subprocess.run(
        ["unshare", "--mount", "sh", "-c", command], capture_output=True, text=True, check=False
    )
    if "make:" not in done.stdout + done.stderr:
        pytest.skip(f"nothing can be mounted here: {done.stderr.strip()}")
    assert done.returncode and "asked:" not in done.stdout
    assert f"{house}/results: may not be written to; make it writable, or work in a copy" in done.stderr
