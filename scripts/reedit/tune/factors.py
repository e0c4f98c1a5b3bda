"""What attempts read of the second moments, made of a corpus when a layer is first asked for, then kept."""

import shutil
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from reedit.edit.job.inputs import read_factors
from reedit.jobs.memory import free_bytes
from reedit.methods.hyperparameters import reads_moments
from reedit.methods.recipe import Recipe
from reedit.models.language_model import LanguageModel
from reedit.statistics.corpora import tokens_of
from reedit.statistics.moments import Reading, collect_moments, write_moment
from reedit.statistics.spectra import decompose_moments
from reedit.storage.tensors import metadata_of

SHARE = 0.3  # of the free memory, for sums of keys


@dataclass(frozen=True)
class Factors:
    """Second moments of the model as it is, at theta_1, and what algorithms make of them.

    `folder` keeps them: {layer}.safetensors in moments/ and spectra/.
    """

    model: LanguageModel
    texts: Iterable[str]
    max_tokens: int
    folder: Path
    tokens: int | str | None = None  # that the corpus ends after (statistics/corpora.tokens_of)

    def of(self, recipe: Recipe) -> dict[int, Tensor]:
        """By layer, what a recipe reads (spread/solve.py); nothing for ROME without mom2_adjustment."""
        if not reads_moments(recipe.algorithm, recipe.hyperparameters):
            return {}
        self.collect(recipe.layers)
        if recipe.algorithm.preserves != "null_space":
            return read_factors({"moments": self.folder / "moments"}, recipe, self.model)[0]
        if missing := self._missing("spectra", recipe.layers):
            decompose_moments(self.folder / "moments", self.folder / "spectra", missing)
        return read_factors({"spectra": self.folder / "spectra"}, recipe, self.model)[0]

    def collect(self, layers: Sequence[int]) -> None:
        """Have the moments of these layers: as many in a pass over the corpus as memory holds the sums of."""
        missing = self._missing("moments", layers)
        reading = Reading(self.max_tokens, tokens=tokens_of(self.tokens, self.model.widest_key(layers)))
        size = 8 * self.model.weight(layers[0]).shape[1] ** 2
        at_once = max(1, int(SHARE * free_bytes(torch.device("cpu")) // size))
        for first in range(0, len(missing), at_once):
            some = missing[first : first + at_once]
            moments, count = collect_moments(self.model, self.texts, some, reading)
            for layer, moment in moments:
                path = self.folder / "moments" / f"{layer}.safetensors"
                write_moment(moment, path, {"count": str(count)})

    @property
    def counted(self) -> int | None:
        """How many tokens the moments are of; None where none were asked for."""
        kept = next((self.folder / "moments").glob("*.safetensors"), None)
        return int(metadata_of(kept)["count"]) if kept else None

    def discard(self) -> None:
        """Tuning is done: they are by far the largest part of what it keeps."""
        for kind in ("moments", "spectra"):
            shutil.rmtree(self.folder / kind, ignore_errors=True)

    def _missing(self, kind: str, layers: Sequence[int]) -> list[int]:
        return [n for n in layers if not (self.folder / kind / f"{n}.safetensors").exists()]
