"""The batches of one iteration that are written already: what an interrupted job goes on from within it."""

import json
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors.torch import save_file
from torch import Tensor

from reedit.edit.found import Found
from reedit.edit.memory import named
from reedit.storage.files import atomic
from reedit.storage.tensors import metadata_of, read_tensors


@dataclass(frozen=True)
class Batch:
    """What a batch found, by the places of its edits, and the keys that later ones may leave alone."""

    places: Sequence[int]
    found: Found
    keys: Mapping[int, Tensor]  # by layer, [cases, key]
    optimization: float = 0.0  # seconds of the iteration up to its end
    spread: float = 0.0


class Written:
    """A folder with a file for each batch, and the weights after the last one and after every checkpoint.

    after{n}.safetensors are the cumulative updates once n edits are written, running{number}.safetensors what
    the memory goes on counting, after the last batch alone.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def batches(self, vectors: tuple[str, ...]) -> tuple[list[Batch], dict[str, Tensor], dict[str, Tensor]]:
        """All batches up to the last one whose weights are there, these weights, and what is counted."""
        found: list[Batch] = []
        while (path := self.folder / f"{len(found)}.safetensors").exists():
            found.append(self._read(path, vectors))
        while found and not (last := self._after(found[-1])).exists():
            found.pop()
        if not found:
            return [], {}, {}
        running = self._running(len(found) - 1)
        return found, read_tensors(last), read_tensors(running) if running.exists() else {}

    def add(
        self,
        number: int,
        batch: Batch,
        updates: Mapping[str, Tensor],
        stays: bool,
        running: Mapping[str, Tensor],
    ) -> None:
        """One more batch, and the `updates` after it, which go with the next one unless it `stays`."""
        self.folder.mkdir(parents=True, exist_ok=True)
        told = {"optimization": batch.optimization, "spread": batch.spread, "lost": dict(batch.found.lost)}
        tensors = batch.found.tensors() | {"places": torch.tensor(batch.places)}
        tensors |= {f"keys.{layer}": keys.cpu().contiguous() for layer, keys in batch.keys.items()}
        with atomic(self.folder / f"{number}.safetensors") as temporary:
            save_file(tensors, temporary, metadata={"told": json.dumps(told)})
        if running:
            with atomic(self._running(number)) as temporary:
                save_file({name: tensor.contiguous() for name, tensor in running.items()}, temporary)
        path = self._after(batch)
        with atomic(path) as temporary:
            save_file(dict(updates), temporary, metadata={"stays": str(stays)})
        if number:
            self._running(number - 1).unlink(missing_ok=True)
        for other in self.folder.glob("after*.safetensors"):
            if other != path and metadata_of(other)["stays"] == "False":
                other.unlink()

    def checkpoints(self) -> list[Path]:
        """The weights that stay."""
        return [
            path for path in self.folder.glob("after*.safetensors") if metadata_of(path)["stays"] == "True"
        ]

    def discard(self) -> None:
        """The iteration is complete."""
        shutil.rmtree(self.folder, ignore_errors=True)

    def _running(self, number: int) -> Path:
        return self.folder / f"running{number}.safetensors"

    def _after(self, batch: Batch) -> Path:
        return self.folder / f"after{batch.places[-1] + 1}.safetensors"

    def _read(self, path: Path, vectors: tuple[str, ...]) -> Batch:
        tensors, told = read_tensors(path), json.loads(metadata_of(path)["told"])
        found = Found.of_tensors(vectors, tensors)
        for edit, where in told["lost"].items():
            found = found.losing([int(edit)], where)
        keys = {int(layer): tensor for layer, tensor in named(tensors, "keys.")}
        return Batch(tensors["places"].tolist(), found, keys, told["optimization"], told["spread"])
