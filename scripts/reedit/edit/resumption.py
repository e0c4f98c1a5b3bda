"""What an interrupted job goes on from, kept durably in a folder of its own: its complete iterations, and the
edits of the next one that OPTIMIZATION is done with."""

import json
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from safetensors.torch import save_file
from torch import Tensor

from reedit.edit.carried import Carried, carried_of
from reedit.edit.saved_edits import SavedEdits
from reedit.errors import InputError
from reedit.storage.checkpoint import begin_state
from reedit.storage.files import flush, naming
from reedit.storage.tensors import read_tensors


@dataclass(frozen=True)
class Iteration:
    """One iteration k: its row of ``iterations`` and its rows of ``targets``; None for what is unknown."""

    row: dict[str, float | None]
    targets: list[dict[str, float | None]]


class State:
    """The complete iterations of one job, each a folder k{k} that appears as a whole.

    `fingerprint` is what the job depends on; a state of another fingerprint is discarded.
    """

    def __init__(self, folder: Path, fingerprint: str) -> None:
        self.folder = folder
        begin_state(folder, fingerprint)

    def completed(self) -> int:
        """The last k whose iteration is complete, 0 for none."""
        k = 0
        while (self.folder / f"k{k + 1}").exists():
            k += 1
        return k

    def weights(self, k: int) -> Path:
        return self.folder / f"k{k}" / "weights.safetensors"

    def carried(self, k: int) -> Carried:
        """What iteration k left for the next one beside its weights."""
        path = self.folder / f"k{k}" / "carried.safetensors"
        return carried_of(read_tensors(path)) if path.exists() else Carried()

    def optimized(self, k: int, step: int = 0) -> SavedEdits:
        """The edits of a step of iteration k that OPTIMIZATION is done with, until the iteration is."""
        return SavedEdits(self.folder / f"k{k}.{step}.optimized")

    def save(
        self, k: int, iteration: Iteration, updates: Mapping[str, Tensor], carried: Carried | None = None
    ) -> None:
        """Write iteration k; it is there entirely or not at all."""
        partial = self.folder / f"k{k}.partial"
        shutil.rmtree(partial, ignore_errors=True)
        content = json.dumps({"row": iteration.row, "targets": iteration.targets})
        try:
            with naming(self.folder / f"k{k}", partial):
                partial.mkdir()
                save_file(dict(updates), partial / "weights.safetensors", metadata={"k": str(k)})
                if left := (carried or Carried()).tensors():
                    save_file(
                        {name: tensor.contiguous() for name, tensor in left.items()},
                        partial / "carried.safetensors",
                    )
                (partial / "iteration.json").write_text(content)
                for written in partial.iterdir():
                    flush(written)
                partial.rename(self.folder / f"k{k}")
        finally:
            shutil.rmtree(partial, ignore_errors=True)
        for saved in self.folder.glob(f"k{k}.*.optimized"):
            shutil.rmtree(saved, ignore_errors=True)

    def load(self, k: int) -> Iteration:
        """Iteration k as it was saved; InputError where its file has been damaged since."""
        path = self.folder / f"k{k}" / "iteration.json"
        try:
            return Iteration(**json.loads(path.read_text()))
        except (OSError, ValueError, TypeError) as error:
            raise InputError(f"{path}: no iteration ({error}); delete {self.folder} and rerun") from error

    def discard(self) -> None:
        shutil.rmtree(self.folder, ignore_errors=True)
