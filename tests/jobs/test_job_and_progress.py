"""What every job has around it: its log, one line for what went wrong, and signs of progress."""

import errno
import logging
import os
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest
from job_logs import own_handlers

from reedit.errors import InputError
from reedit.jobs.job import command, job, peak_memory_mb
from reedit.jobs.progress import progress
from reedit.storage.provenance import PACKAGES, provenance


@pytest.fixture(autouse=True)
def without_traces() -> Iterator[None]:
    with own_handlers():
        yield


def log_of(folder: Path) -> Path:
    return folder / "logs" / "edit_facts" / "m.log"


def test_a_job_logs_to_its_file_and_the_terminal_and_says_how_long_it_took(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with job(log_of(tmp_path)) as logger:
        logger.info("at work")
    for text in (log_of(tmp_path).read_text(), capsys.readouterr().err):
        assert "at work" in text and "done in" in text and "peak memory" in text


@pytest.mark.parametrize(
    ("error", "line"),
    [
        (InputError("facts.json: case 3 lacks a subject"), "error: facts.json: case 3 lacks a subject"),
        (
            OSError(errno.ENOSPC, "No space left on device", "out.parquet"),
            "error: out.parquet: No space left on device",
        ),
        (OSError(errno.EACCES, "Permission denied", "out"), "error: out: Permission denied"),
    ],
    ids=["bad input", "full disk", "no permission"],
)
def test_an_expected_failure_is_one_line_and_status_one(
    error: Exception, line: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as caught, job(log_of(tmp_path)):
        raise error
    assert caught.value.code == 1
    printed = capsys.readouterr().err.splitlines()
    assert len(printed) == 1 and printed[0].endswith(line)
    assert line in log_of(tmp_path).read_text() and "Traceback" not in log_of(tmp_path).read_text()


@pytest.mark.parametrize("number", [errno.ENAMETOOLONG, errno.EEXIST, errno.ENOENT, errno.ELOOP])
def test_a_file_that_a_command_cannot_have_is_one_line(number: int) -> None:
    with pytest.raises(SystemExit) as caught, command():
        raise OSError(number, os.strerror(number), "out/there")
    assert caught.value.code == f"out/there: {os.strerror(number)}"
    with pytest.raises(OSError, match="broken"), command():
        raise OSError("broken")  # of no file: a bug


def test_a_bug_keeps_its_traceback(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises((SystemExit, ZeroDivisionError)) as caught, job(log_of(tmp_path)):
        1 / 0  # noqa: B018
    shown = capsys.readouterr().err
    assert isinstance(caught.value, ZeroDivisionError) or "Traceback" in shown
    assert not isinstance(caught.value, SystemExit) or caught.value.code == 1


@pytest.mark.parametrize("error", [InputError, RuntimeError], ids=["bad input", "bug"])
def test_no_secret_reaches_the_terminal_or_the_log(
    error: type[Exception], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Neither in what is told nor in a traceback."""
    with pytest.raises(SystemExit), job(log_of(tmp_path)) as logger:
        logger.info("asking https://me:hush@host/a?signature=hush")
        try:
            raise ValueError("Bearer hush")
        except ValueError as inner:
            raise error("https://host/a?token=hush") from inner
    for text in (log_of(tmp_path).read_text(), capsys.readouterr().err):
        assert "https://host/a?***" in text and "hush" not in text


def attempt(log: Path, error: Exception | None = None) -> bool:
    """Whether a job on that log does its work, which may end with an error."""
    done = []
    with own_handlers(), suppress(SystemExit), job(log):
        done.append(True)
        if error:
            raise error
    return bool(done)


def test_what_a_retry_cannot_help_is_not_worked_on_again_in_the_same_call(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    log = log_of(tmp_path)
    monkeypatch.setenv("REEDIT_START", "1000.5")
    assert attempt(log, InputError("facts.json: no cases"))
    line = capsys.readouterr().err.partition("error: ")[2].strip()
    for _ in range(2):
        log.unlink()  # as Snakemake does before a retry
        assert not attempt(log)
        assert log.read_text().endswith(f" ERROR error: {line}\n")
    monkeypatch.setenv("REEDIT_START", "2000.5")
    assert attempt(log) and attempt(log)  # the next call


@pytest.mark.parametrize(
    "error", [RuntimeError("CUDA error: uncorrectable ECC error"), OSError(errno.ENOSPC, "full", "out")]
)
def test_a_job_that_met_what_another_machine_may_not_have_is_worked_on_again(
    error: Exception, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("REEDIT_START", "1000.5")
    assert attempt(log_of(tmp_path), error)
    assert attempt(log_of(tmp_path))


def test_an_interruption_is_passed_on(tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt), job(log_of(tmp_path)):
        raise KeyboardInterrupt


def test_memory_is_in_mebibytes() -> None:
    assert 50 < peak_memory_mb() < 1e6


def test_progress_speaks_at_intervals_and_at_the_end(caplog: pytest.LogCaptureFixture) -> None:
    times = iter([0.0, 1.0, 6.0, 7.0, 11.5, 12.0])
    with caplog.at_level(logging.INFO, "reedit"):
        report = progress("rows", 100, every=5.0, clock=lambda: next(times))
        for done in (10, 50, 60, 75, 100):
            report(done)
    assert [record.getMessage() for record in caplog.records] == [
        "rows: 50 of 100 (50 %), 6 s left",
        "rows: 75 of 100 (75 %), 4 s left",
        "rows: 100 of 100 (100 %), in 12.0 s",
    ]


def test_progress_goes_on_from_what_was_done_before(caplog: pytest.LogCaptureFixture) -> None:
    times = iter([0.0, 5.0, 10.0, 15.0])
    with caplog.at_level(logging.INFO, "reedit"):
        report = progress("rows", 100, every=5.0, clock=lambda: next(times), begun=40)
        for done in (40, 50, 100):
            report(done)
    assert [record.getMessage() for record in caplog.records] == [
        "rows: 40 of 100 (40 %), just begun",
        "rows: 50 of 100 (50 %), 50 s left",
        "rows: 100 of 100 (100 %), in 15.0 s",
    ]


def test_progress_of_nothing_is_no_error(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO, "reedit"):
        progress("rows", 0)(0)
    assert "rows: 0 of 0" in caplog.text


def test_provenance_merges_its_parts_and_adds_the_versions() -> None:
    made = provenance({"a": 1, "b": 1}, {"b": 2})
    assert (made["a"], made["b"]) == (1, 2)
    assert set(made["packages"]) == set(PACKAGES) and all(made["packages"].values())
