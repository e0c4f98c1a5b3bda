"""What every script has around it: a log, one clear line for a bad input, time and peak memory."""

import errno
import logging
import resource
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from reedit.errors import InputError


def peak_memory_mb() -> float:
    """Peak resident memory of this process so far, in MiB."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / 1024**2 if sys.platform == "darwin" else peak / 1024


@contextmanager
def job(log: str | Path) -> Iterator[logging.Logger]:
    """Log to the terminal and to `log`; end the process with one line and status 1 on a bad input."""
    Path(log).parent.mkdir(parents=True, exist_ok=True)
    logger = logging.getLogger("reedit")
    logger.setLevel(logging.INFO)
    name = " ".join(Path(log).with_suffix("").parts[2:])  # results/logs/{rule}/{wildcards}.log
    for handler, layout in [
        (logging.StreamHandler(sys.stderr), f"[{name}] %(message)s"),
        (logging.FileHandler(log, mode="w"), "%(asctime)s %(levelname)s %(message)s"),
    ]:
        handler.setFormatter(logging.Formatter(layout))
        logger.addHandler(handler)
    start = time.monotonic()
    try:
        yield logger
    except InputError as error:
        logger.error("error: %s", error)
        sys.exit(1)
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EROFS, errno.EACCES, errno.EDQUOT):
            raise
        logger.error("error: %s: %s", error.filename or "output", error.strerror)
        sys.exit(1)
    logger.info("done in %.1f s, peak memory %.0f MiB", time.monotonic() - start, peak_memory_mb())
