"""The folder of a finished run, results/edits/{run}, and the model as one of its iterations left it."""

from collections.abc import Mapping
from functools import cached_property
from pathlib import Path
from typing import Any

from reedit.errors import InputError
from reedit.methods.stopping import selected
from reedit.models.language_model import LanguageModel
from reedit.prepare.preparation import model_revision
from reedit.storage import parquet
from reedit.storage.tensors import read_tensors


class RunFolder:
    """results/edits/{model}/{dataset}/{method}/trial{trial}."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.iterations = parquet.read(path / "iterations.parquet", "iterations")
        self.made_by = parquet.read_provenance(path / "iterations.parquet")

    @property
    def base(self) -> Path:
        """The prepared model that was edited, in the results that the run, or a link to it, lies in."""
        for path in (self.path.absolute(), self.path.resolve()):
            *results, _, model, _, _, _ = ("", "", "", "", *path.parts)
            base = Path(*results) / "models" / model
            if base.is_dir():
                return base
        raise InputError(f"{self.path}: {base} is not there, expected the model that was edited")

    @property
    def wording(self) -> Mapping[str, Any]:
        """How it put its prompts, as far as that was not the usual way (models/tokens.py)."""
        return self.made_by.get("wording") or {}

    @cached_property
    def kept(self) -> list[int]:
        """The k whose weights are there, ascending."""
        found = [file.stem[1:] for file in (self.path / "weights").glob("k*.safetensors")]
        return sorted(int(k) for k in found if k.isdecimal())  # not along an iteration

    def chosen(self, wanted: int | str) -> int:
        """The k that `wanted` means: that number, the last one kept, or the proposed rule's (selected).

        Raises InputError where its weights were not kept.
        """
        rules = {"last": max(self.kept, default=0), "selected": selected(self.iterations)[0]}
        k = rules.get(wanted, wanted)
        if k not in self.kept:
            kept = ", ".join(map(str, self.kept)) or "none"
            raise InputError(f"{self.path}: k = {k} ({wanted}) has no weights; kept are k = {kept}")
        return k

    def load(
        self,
        base: Path,
        k: int,
        dtype: str | None = None,
        device: str | None = None,
        wording: Mapping[str, Any] | None = None,
    ) -> LanguageModel:
        """The model `base`, edited here, after iteration k; dtype and wording are the run's unless said."""
        if (found := model_revision(base)) != self.made_by["model_revision"]:
            raise InputError(f"{base}: is {found}, but {self.path} edited {self.made_by['model_revision']}")
        dtype = dtype or self.made_by["dtype"]
        model = LanguageModel.load(base, dtype, device, self.wording if wording is None else wording)
        updates = read_tensors(self.path / "weights" / f"k{k}.safetensors", str(model.device))
        model.import_updates(updates, self.made_by["hyperparameters"]["layers"])
        return model

    def description(self, k: int) -> Mapping[str, Any]:
        """What was done to the model, for those it is handed on to."""
        *_, dataset, method, _ = self.path.resolve().parts
        names = ("algorithm", "protocol", "edits", "seed", "trial", "dtype", "hyperparameters")
        return {"facts": dataset, "method": method, "k": k} | {name: self.made_by[name] for name in names}
