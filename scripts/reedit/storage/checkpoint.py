"""How far a long job has come, kept in a folder of its own, so that after a kill it goes on from there."""

import logging
import re
import shutil
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeVar

from reedit.errors import InputError
from reedit.storage.checksums import contents
from reedit.storage.files import atomic, lasting_folder
from reedit.storage.provenance import digest

T = TypeVar("T")


def begin_state(folder: Path, fingerprint: str) -> bool:
    """Make a job's state folder, or leave it as it is where it is of the same `fingerprint`; whether it was.

    That is what the job depends on: a state of another one is discarded.
    """
    known = marked(folder, fingerprint)
    if folder.exists() and not known:
        shutil.rmtree(folder)
    folder.mkdir(parents=True, exist_ok=True)
    with atomic(folder / "fingerprint") as temporary:
        temporary.write_text(fingerprint)
    return known


def marked(folder: Path, fingerprint: str) -> bool:
    """Whether a state is of this `fingerprint`."""
    mark = folder / "fingerprint"
    return mark.exists() and mark.read_bytes() == fingerprint.encode()


def fingerprint(settings: Mapping[str, Any], inputs: Mapping[str, Path]) -> str:
    """What a state depends on: settings, and what is in the job's inputs, files or folders."""
    return digest([settings, {name: contents(path) for name, path in inputs.items()}])


class Checkpoint:
    """What a job has saved last, a folder that appears as a whole and takes the place of the one before.

    `fingerprint`: see begin_state; `every`: seconds between two saves.
    """

    def __init__(
        self,
        folder: Path | str,
        fingerprint: str,
        every: float = 600.0,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.folder, self.every, self.clock = Path(folder), every, clock
        begin_state(self.folder, fingerprint)
        self.last = clock()

    def restore(self, read: Callable[[Path], T]) -> T | None:
        """What `read` makes of the folder saved last; None without one, or where it was damaged."""
        numbers = self._numbers()
        if not numbers:
            return None
        saved = self.folder / f"saved{numbers[-1]}"
        try:
            found = read(saved)
        except (InputError, OSError, ValueError, KeyError, TypeError) as error:
            logging.getLogger("reedit").warning("%s: %s; the job begins anew", saved, error)
            return None
        logging.getLogger("reedit").info("going on from %s", saved)
        return found

    def save_when_due(self, write: Callable[[Path], None]) -> None:
        """Let `write` fill a folder, if the time has come."""
        if self.clock() - self.last < self.every:
            return
        numbers = self._numbers()
        number = numbers[-1] + 1 if numbers else 1
        with lasting_folder(self.folder / f"saved{number}") as partial:
            write(partial)
        for old in numbers:
            shutil.rmtree(self.folder / f"saved{old}", ignore_errors=True)
        self.last = self.clock()

    def discard(self) -> None:
        """Remove it: the job is done, and begins anew when it is asked for again."""
        shutil.rmtree(self.folder, ignore_errors=True)

    def _numbers(self) -> list[int]:
        names = [path.name for path in self.folder.iterdir()]
        return sorted(int(name[5:]) for name in names if re.fullmatch(r"saved[0-9]+", name))
