"""The edits of an iteration that OPTIMIZATION is done with, on disk before the iteration is complete."""

import logging
from collections.abc import Iterator, Sequence
from pathlib import Path

import torch
from safetensors.torch import save_file
from torch import Tensor

from reedit.edit.optimized import Optimized, Part
from reedit.errors import InputError
from reedit.storage.files import atomic
from reedit.storage.tensors import read_tensors


class SavedEdits:
    """Edits of one iteration whose OPTIMIZATION is done: a file for every batch of them.

    A job that was interrupted goes on with the others. Per edit 8 bytes a number of its vectors, while the
    iteration lasts.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def save(self, edits: Sequence[int], found: Optimized, seconds: float) -> None:
        """Save what was found for some edits, told by their places in the job, in so many seconds."""
        tensors = {
            "edits": torch.tensor(edits),
            "hidden": found.hidden.cpu().contiguous(),
            "delta": found.delta.cpu().contiguous(),
            "steps": torch.tensor(found.steps),
            "ppl_initial": torch.tensor(found.ppl_initial, dtype=torch.float64),
            "ppl_target": torch.tensor(found.ppl_target, dtype=torch.float64),
            "seconds": torch.tensor(seconds, dtype=torch.float64),
        }
        with atomic(self.folder / f"{edits[0]}.safetensors") as temporary:
            save_file(tensors, temporary)

    def load(self, vectors: tuple[str, ...], device: torch.device) -> list[Part]:
        """All that is there."""
        parts: list[Part] = []
        for saved in self._files():
            numbers = {name: saved[name].tolist() for name in ("steps", "ppl_initial", "ppl_target")}
            found = Optimized(vectors, saved["hidden"].to(device), saved["delta"].to(device), **numbers)
            parts.append((saved["edits"].tolist(), found))
        return parts

    def seconds(self) -> float:
        """How long OPTIMIZATION took for all that is there."""
        return sum(float(saved["seconds"]) for saved in self._files())

    def _files(self) -> Iterator[dict[str, Tensor]]:
        """What each file holds; one that was damaged goes, and its edits are optimised again."""
        for path in sorted(self.folder.glob("[0-9]*.safetensors")):
            try:
                yield read_tensors(path)
            except InputError as error:
                logging.getLogger("reedit").warning("%s; its edits are optimised again", error)
                path.unlink(missing_ok=True)
