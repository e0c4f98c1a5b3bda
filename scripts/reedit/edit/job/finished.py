"""What a finished job leaves behind, so that one that is asked for more iterations, or fewer, repeats none.

An iteration does not depend on how many follow. The journal of a job that has ended stays, in a place that
Snakemake does not wipe with the outputs; the weights in it are theirs by other names (hard links). It is
taken up by a job that reads the same, whatever else is new around it: other trials, layers, methods.
"""

import logging
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path

from reedit.edit.journal import Journal
from reedit.edit.kept_weights import kept_iterations
from reedit.methods.recipe import Recipe
from reedit.storage.checkpoint import marked
from reedit.storage.checksums import changed_since_noted, write_sums


def take_up(state: Path, finished: Path | None, fingerprint: str) -> None:
    """Make what a job of this `fingerprint` left in `finished` the `state` to go on from.

    Where it is of another one, or was damaged since, it goes.
    """
    if finished is None or not finished.exists():
        return
    if not state.exists() and marked(finished, fingerprint) and _intact(finished):
        state.parent.mkdir(parents=True, exist_ok=True)
        _moved(finished, state)
    shutil.rmtree(finished, ignore_errors=True)


def _moved(folder: Path, place: Path) -> bool:
    """Move a folder; whether that could be done: not to another disk, which someone has linked here."""
    try:
        folder.rename(place)
    except OSError as error:
        logging.getLogger("reedit").warning("%s cannot be moved to %s: %s", folder, place, error.strerror)
        return False
    return True


def _intact(finished: Path) -> bool:
    change = changed_since_noted(finished)
    if change:
        logging.getLogger("reedit").warning("%s/%s; all is made afresh", finished, change)
    return not change


def begin(make: Callable[[], Journal], recipe: Recipe, keep_weights: str) -> Journal:
    """The journal that a job goes on with: a fresh one where weights to be kept are not there any more."""
    journal = make()
    rows = [journal.load(k).row for k in range(1, journal.completed() + 1)]
    count = recipe.over_after(rows) or len(rows)
    needed = {count, *kept_iterations(rows[:count], keep_weights)} if rows else set()
    if all(journal.weights(k).exists() for k in needed):
        return journal
    journal.discard()
    return make()


def leave(journal: Journal, finished: Path | None, last: int, kept: Sequence[int]) -> None:
    """The job is done after iteration `last`, and its outputs hold the weights of the `kept` ones.

    Before the last no other weights stay, nor what a kill left of iterations that are complete. What lies
    beyond had been asked for earlier.
    """
    top = journal.completed()
    linked = all(journal.weights(k).stat().st_nlink > 1 for k in kept)
    if finished is None or not linked:  # a file system without hard links: it would hold them twice
        return journal.discard()
    for k in range(1, top):
        if k < last and k not in kept:
            for weights in (journal.weights(k), *journal.checkpoints(k)):
                weights.unlink(missing_ok=True)
        journal.weights(k).with_name("memory.safetensors").unlink(missing_ok=True)
    journal.tidy()
    write_sums(journal.folder)
    shutil.rmtree(finished, ignore_errors=True)
    finished.parent.mkdir(parents=True, exist_ok=True)
    if not _moved(journal.folder, finished):
        journal.discard()
