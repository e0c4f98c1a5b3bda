"""What an interrupted job goes on from, on disk: complete iterations, and what is found of the next one."""

import json
import logging
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from torch import Tensor

from reedit.edit.found import Found
from reedit.edit.kept_weights import edits_written
from reedit.edit.memory import Memory, memory_of
from reedit.edit.written import Written
from reedit.errors import InputError
from reedit.methods.recipe import Step
from reedit.storage.checkpoint import begin_state
from reedit.storage.files import atomic, lasting_folder, link_or_copy
from reedit.storage.provenance import digest
from reedit.storage.tensors import metadata_of, read_tensors

FORMAT = 4  # of what is on disk: a journal of another one is no journal of this job


@dataclass(frozen=True)
class Iteration:
    """One iteration k: its row of ``iterations`` and its rows of ``targets``; None for what is unknown."""

    row: dict[str, float | None]
    targets: list[dict[str, float | None]]


@dataclass(frozen=True)
class Piece:
    """What OPTIMIZATION found for some edits of a step, told by their places in it, and how long it took."""

    places: list[int]
    found: Found  # on the CPU
    seconds: float
    earlier: bool  # by a job that was interrupted


@dataclass(frozen=True)
class Unedited:
    """Where jobs share what OPTIMIZATION finds at theta_1, and what they have to have in common for it.

    A folder is named by all that was read to find what is in it: nothing in it can be out of date.
    """

    folder: Path
    fingerprint: str  # of the model as it is loaded, and of the code
    run: str  # whose job this is


class Journal:
    """The complete iterations of one job, each a folder k{k} that appears as a whole, and pieces of the next.

    `fingerprint` is what the job depends on; a journal of another fingerprint is discarded. Pieces that other
    jobs can use lie where `unedited` says, and stay there.
    """

    def __init__(self, folder: Path, fingerprint: str, unedited: Unedited | None = None) -> None:
        self.folder, self.unedited, self._fingerprint = folder, unedited, fingerprint
        self._own: set[Path] = set()  # pieces that this job has kept
        self._shared: dict[tuple[int, int], Path] = {}  # k and number of a step -> where its pieces lie
        begin_state(folder, fingerprint)

    def share(self, step: Step, read: Any) -> None:
        """Pieces of a step at theta_1, of which OPTIMIZATION has `read` that, are any job's."""
        if self.unedited:
            known = digest([FORMAT, self.unedited.fingerprint, read])
            self._shared[step.k, step.number] = self.unedited.folder / known

    def completed(self) -> int:
        """The last k whose iteration is complete, 0 for none."""
        k = 0
        while (self.folder / f"k{k + 1}").exists():
            k += 1
        return k

    def weights(self, k: int) -> Path:
        """The cumulative updates after iteration k."""
        return self.folder / f"k{k}" / "weights.safetensors"

    def checkpoints(self, k: int) -> list[Path]:
        """Those along iteration k, by checkpoint: after{n}.safetensors, once n edits were written."""
        return sorted((self.folder / f"k{k}").glob("after*.safetensors"), key=edits_written)

    def written(self, k: int) -> Written:
        """The batches of iteration k that are written, while it is not complete."""
        return Written(self.folder / f"k{k}.batches")

    def memory(self, k: int) -> Memory:
        """What iteration k left for the next one beside its weights and rows."""
        path = self.folder / f"k{k}" / "memory.safetensors"
        return memory_of(read_tensors(path)) if path.exists() else Memory()

    def tuning(self, step: Step) -> Path:
        """Where fine-tuning in a step keeps how far it is."""
        return self.folder / f"k{step.k}.tuning" / str(step.number)

    def load(self, k: int) -> Iteration:
        """Iteration k as it was saved; InputError where its file has been damaged since."""
        path = self.folder / f"k{k}" / "iteration.json"
        try:
            return Iteration(**json.loads(path.read_text()))
        except (OSError, ValueError, TypeError) as error:
            raise InputError(f"{path}: no iteration ({error}); delete {self.folder} and rerun") from error

    def complete(self, k: int, iteration: Iteration, updates: Mapping[str, Tensor], memory: Memory) -> None:
        """Write iteration k, with the cumulative `updates`; it is there entirely or not at all."""
        content = json.dumps({"row": iteration.row, "targets": iteration.targets})
        with lasting_folder(self.folder / f"k{k}") as partial:
            save_file(dict(updates), partial / "weights.safetensors", metadata={"k": str(k)})
            if left := memory.tensors():
                memory_file = partial / "memory.safetensors"
                save_file({name: tensor.contiguous() for name, tensor in left.items()}, memory_file)
            for path in self.written(k).checkpoints():
                link_or_copy(path, partial / path.name)
            (partial / "iteration.json").write_text(content)
        self._forget(k)

    def keep(self, step: Step, places: Sequence[int], found: Found, seconds: float) -> None:
        """Save what OPTIMIZATION found for some edits of a step; 8 bytes a number of its vectors and edit."""
        tensors = {
            "edits": torch.tensor(places),
            "seconds": torch.tensor(seconds, dtype=torch.float64),
        } | found.tensors()
        path = self._of(step) / f"{step.number}.{places[0]}.safetensors"
        with atomic(path) as temporary:
            run = self.unedited.run if self.unedited else ""
            save_file(tensors, temporary, {"run": run, "job": self._fingerprint})
        self._own.add(path)

    def pieces(self, step: Step, vectors: tuple[str, ...]) -> list[Piece]:
        """All that was kept of a step; a file that was damaged goes, and its edits are optimised again."""
        pieces, others = [], set()
        for path in sorted(self._of(step).glob(f"{step.number}.*.safetensors")):
            try:
                told, piece = metadata_of(path), self._piece(path, vectors)
            except (InputError, KeyError) as error:
                logging.getLogger("reedit").warning("%s; its edits are optimised again", error)
                path.unlink(missing_ok=True)
                continue
            if told.get("job") != self._fingerprint:
                others.add(told.get("run", ""))
            pieces.append(piece)
        if others:
            known = len({place for piece in pieces for place in piece.places})
            line = "%s: the targets of %d edits were found for %s and are used again"
            logging.getLogger("reedit").info(line, step.name, known, ", ".join(sorted(others)))
        return pieces

    def _piece(self, path: Path, vectors: tuple[str, ...]) -> Piece:
        saved = read_tensors(path)
        found = Found.of_tensors(vectors, saved)
        return Piece(saved["edits"].tolist(), found, float(saved["seconds"]), path not in self._own)

    def tidy(self) -> None:
        """Remove what a kill may have left of iterations that are complete: all on the way to them."""
        for k in range(1, self.completed() + 1):
            self._forget(k)

    def discard(self) -> None:
        """The job is done."""
        shutil.rmtree(self.folder, ignore_errors=True)

    def _forget(self, k: int) -> None:
        """Remove what is on the way to iteration k."""
        for unfinished in (self._pieces(k), self.folder / f"k{k}.tuning"):
            shutil.rmtree(unfinished, ignore_errors=True)
        self.written(k).discard()

    def _of(self, step: Step) -> Path:
        return self._shared.get((step.k, step.number), self._pieces(step.k))

    def _pieces(self, k: int) -> Path:
        return self.folder / f"k{k}.optimized"
