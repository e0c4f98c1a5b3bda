"""Progress of long work: what, how far, how long still; a line every few seconds."""

import logging
import time
from collections.abc import Callable


def progress(
    what: str,
    total: int,
    every: float = 5.0,
    clock: Callable[[], float] = time.monotonic,
    begun: int = 0,
) -> Callable[[int], None]:
    """A function to call with the units done so far; logs at most once per `every` seconds and at the end.

    `begun`: units that were done before.
    """
    logger = logging.getLogger("reedit")
    start = last = clock()

    def report(done: int) -> None:
        nonlocal last
        now = clock()
        if done < total and now - last < every:
            return
        last = now
        elapsed = now - start
        new = done - begun
        left = f"{elapsed / new * (total - done):.0f} s left" if new else "just begun"
        tail = left if done < total else f"in {elapsed:.1f} s"
        logger.info("%s: %d of %d (%.0f %%), %s", what, done, total, 100 * done / max(total, 1), tail)

    return report
