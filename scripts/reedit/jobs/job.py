"""What every script has around it: a log, one clear line for a bad input, time and peak memory."""

import logging
import os
import resource
import signal
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from reedit.errors import InputError
from reedit.jobs.machine import suit_machine
from reedit.jobs.redaction import without_secrets
from reedit.storage.files import PLACE

MARK = " ERROR error: "  # in a log, before what went wrong
START = "REEDIT_START"  # in the environment: when the workflow's call began (rules/common.smk)
NOTE = ".failed"  # beside a log, in place of .log: what ended the job for good


def peak_memory_mb() -> float:
    """Peak resident memory so far, in MiB, of this process or of the largest that it has waited for."""
    peak = max(resource.getrusage(who).ru_maxrss for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    return peak / 1024**2 if sys.platform == "darwin" else peak / 1024


@contextmanager
def job(log: str | Path, shared: bool = False, level: int = logging.INFO) -> Iterator[logging.Logger]:
    """Log to the terminal and to `log`; end the process with status 1 on an error.

    A bad input, or a disk that is full or may not be written to, is one line; anything else, a bug, its
    whole traceback. What a bad input has ended before in the same call of the workflow is not done again:
    a cluster's profile retries jobs, for those that were killed. A process that shares a job that has begun
    (`shared`) goes on with its log.
    """
    logger = logging.getLogger("reedit")
    logger.setLevel(level)
    logging.raiseExceptions = False  # a log that cannot be written is no reason for a traceback
    start = time.monotonic()
    try:
        _add_handler(logger, logging.StreamHandler(sys.stderr), f"[{_name(Path(log))}] %(message)s")
        Path(log).parent.mkdir(parents=True, exist_ok=True)
        if not shared:
            Path(log).unlink(missing_ok=True)
        file = logging.FileHandler(log, mode="a", encoding="utf-8")
        _add_handler(logger, file, "%(asctime)s %(levelname)s %(message)s")
        if settled := _settled(Path(log)):
            logger.info("this call has tried before, and trying again cannot help")
            raise InputError(settled)
        yield logger
    except InputError as error:
        logger.error("error: %s", error)
        _settle(Path(log), str(error))
        sys.exit(1)
    except Exception as error:
        place = unwritable(error)
        logger.error("error: %s", place or f"{type(error).__name__}: {error}", exc_info=place is None)
        sys.exit(1)  # a retry may run on another machine, with room on its disks
    if not shared:
        logger.info("done in %.1f s, peak memory %.0f MiB", time.monotonic() - start, peak_memory_mb())


def errors_since(folder: Path, start: float) -> list[str]:
    """What went wrong in the jobs that logged under `folder` since `start`, one line each."""
    logs = [log for log in sorted(folder.rglob("*.log")) if log.stat().st_mtime >= start]
    lines = [
        f"[{_name(log)}] error: {line.partition(MARK)[2]}"
        for log in logs
        for line in log.read_text(encoding="utf-8", errors="replace").splitlines()
        if MARK in line
    ]
    return list(dict.fromkeys(lines))  # processes that share a job may all have met the same


def _settle(log: Path, line: str) -> None:
    """Leave a note for a retry in this call of the workflow: why trying again cannot help.

    Beside the log, which Snakemake removes before a retry.
    """
    if START in os.environ:
        with suppress(OSError):  # where the disk is full, a retry finds that out by itself
            log.with_suffix(NOTE).write_text(f"{os.environ[START]}\n{line}\n", encoding="utf-8")


def _settled(log: Path) -> str | None:
    """The line that this call of the workflow has a note about; a note of another call is removed."""
    note = log.with_suffix(NOTE)
    if not note.exists():
        return None
    call, _, line = note.read_text(encoding="utf-8").partition("\n")
    if call == os.environ.get(START):
        return line.strip()
    note.unlink()
    return None


def _name(log: Path) -> str:
    """The rule and the wildcards of [prefix/]results/logs/{rule}/{wildcards}.log."""
    return log.with_suffix("").as_posix().rpartition("results/logs/")[2].replace("/", " ")


def _add_handler(logger: logging.Logger, handler: logging.Handler, layout: str) -> None:
    handler.setFormatter(_Discreet(layout))
    logger.addHandler(handler)


class _Discreet(logging.Formatter):
    """Keeps secrets out of what is logged, tracebacks included."""

    def format(self, record: logging.LogRecord) -> str:
        return without_secrets(super().format(record))


@contextmanager
def command() -> Iterator[None]:
    """Around what a user calls: end it with one line and status 1 on a bad input or an unusable file."""
    suit_machine()
    try:
        yield
    except InputError as error:
        sys.exit(str(error))
    except OSError as error:
        if (place := named_file(error)) is None:
            raise
        sys.exit(place)


def exit_on_signals() -> None:
    """Have SIGTERM and SIGHUP end this process as an exception does: what it was at is put away.

    The exit status is 128 and the signal's number; what is ignored (nohup) stays so.
    """

    def leave(number: int, _: object) -> None:
        signal.signal(number, signal.SIG_IGN)  # the second one would come in the midst of putting away
        sys.exit(128 + number)

    for number in (signal.SIGTERM, signal.SIGHUP):
        if signal.getsignal(number) is not signal.SIG_IGN:
            signal.signal(number, leave)


def named_file(error: OSError) -> str | None:
    """One line for an error of a file or folder that it names: those of a command are its user's."""
    return _of_file(error) if error.filename else unwritable(error)


def unwritable(error: Exception) -> str | None:
    """One line for a place where a job cannot write, None for any other error."""
    return _of_file(error) if isinstance(error, OSError) and error.errno in PLACE else None


def _of_file(error: OSError) -> str:
    return f"{error.filename2 or error.filename or 'output'}: {error.strerror}"
