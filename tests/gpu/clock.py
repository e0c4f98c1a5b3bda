"""How long the check may take, and what ends a stage that would take longer."""

import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any


class OutOfTime(Exception):
    """The check's minutes are over; raised in the midst of a stage."""


class Clock:
    """Counts from when it was made."""

    def __init__(self, minutes: float) -> None:
        self.began, self.seconds = time.monotonic(), 60 * minutes

    def spent(self) -> float:
        return time.monotonic() - self.began

    def left(self) -> float:
        """Seconds until the end, below zero after it."""
        return self.seconds - self.spent()

    @contextmanager
    def ending(self, most: float) -> Iterator[None]:
        """Raise OutOfTime in the block after `most` seconds, or where the check's own are over."""

        def over(*_: Any) -> None:
            raise OutOfTime("the minutes are over")

        before = signal.signal(signal.SIGALRM, over)
        signal.setitimer(signal.ITIMER_REAL, max(0.01, min(most, self.left())))
        try:
            yield
        finally:
            signal.setitimer(signal.ITIMER_REAL, 0)
            signal.signal(signal.SIGALRM, before)
