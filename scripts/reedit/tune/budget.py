"""How long tuning may take, and how many edits it may optimise; what a killed job has spent counts too."""

import json
import logging
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from reedit.storage.files import write_text


class Budget:
    """Seconds and edits of all parts together; `path` is where what was spent outlives a kill."""

    def __init__(
        self, minutes: float, edits: int | None, path: Path, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self.seconds, self.edits, self.path, self.clock = 60.0 * minutes, edits, path, clock
        said = json.loads(path.read_text()) if path.exists() else {}
        self.spent_seconds, self.spent_edits = said.get("seconds", 0.0), said.get("edits", 0)

    @contextmanager
    def spending(self, edits: int = 0) -> Iterator[None]:
        """What is done inside the block counts, done to its end or not."""
        begun = self.clock()
        try:
            yield
        finally:
            self.spent_seconds += self.clock() - begun
            self.spent_edits += edits
            told = {"seconds": self.spent_seconds, "edits": self.spent_edits}
            write_text(self.path, json.dumps(told))

    def allows(self, share: float, seconds: float, edits: int = 0) -> bool:
        """Whether so much more stays within a share, from the beginning on, of what there is."""
        time_left = self.spent_seconds + seconds <= share * self.seconds
        return time_left and (self.edits is None or self.spent_edits + edits <= share * self.edits)

    def tell(self, what: str) -> None:
        """A line with what is left."""
        left = max(0.0, self.seconds - self.spent_seconds)
        of_edits = "" if self.edits is None else f", {self.spent_edits} of {self.edits} edits"
        logging.getLogger("reedit").info(
            "%s; %.1f of %.0f minutes%s, at most %.0f s left",
            *(what, self.spent_seconds / 60, self.seconds / 60, of_edits, left),
        )
