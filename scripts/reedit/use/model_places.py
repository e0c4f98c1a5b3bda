"""What a user may name as a model: a folder that transformers loads, or a run after one of its iterations."""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from reedit.errors import InputError
from reedit.models.folder import check_folder
from reedit.models.language_model import LanguageModel
from reedit.use.run_folder import RunFolder

CONFIG = "config.json"
EDITS = Path("results/edits")
ITERATION = re.compile(r"(?P<run>.+?)@(?P<k>[0-9]+|selected|last)")


@dataclass(frozen=True)
class ModelPlace:
    """A model that is there, not loaded yet."""

    name: str
    dtype: str  # it was evaluated in, or is stored in
    folder: Path
    run: RunFolder | None = None  # that edited the model in `folder`
    k: int = 0

    def load(self, dtype: str | None = None, wording: Mapping[str, Any] | None = None) -> LanguageModel:
        """In its own dtype, its prompts put as its run puts them, unless said."""
        if self.run:
            return self.run.load(self.folder, self.k, dtype, wording=wording)
        return LanguageModel.load(self.folder, dtype or self.dtype, wording=wording)


def find_model(place: str) -> ModelPlace:
    """The model at a place: a folder, or a run's, with @k behind it for another k than the proposed rule's.

    A run is its folder, or its path in results/edits; ~ stands for the user's own folder. Raises InputError
    where there is neither, and where a folder's model cannot be edited.
    """
    asked = ITERATION.fullmatch(place)
    path, wanted = (asked["run"], asked["k"]) if asked else (place, "selected")
    own = Path(place).expanduser()
    for folder in () if (own / CONFIG).is_file() else (Path(path).expanduser(), EDITS / path):
        if (folder / "iterations.parquet").is_file():
            run = RunFolder(folder)
            k = run.chosen(int(wanted) if wanted.isdecimal() else wanted)
            return ModelPlace(f"{folder}, k = {k}", run.made_by["dtype"], run.base, run, k)
    if (own / CONFIG).is_file():
        dtype = _stored_dtype(own)
        check_folder(own)
        return ModelPlace(place, dtype, own)
    if own.is_symlink() or any(own.glob("*")):
        check_folder(own)
        told = (
            "a GGUF file alone; expected a folder that transformers loads: `edit` and prepare_model make one"
        )
        raise InputError(f"{place}: {told}")
    raise InputError(
        f"{place}: no model; expected a folder with a config.json, or a run,"
        f" {EDITS}/MODEL/DATASET/METHOD/trial1, with @k behind it for another k than the selected one"
    )


def _stored_dtype(folder: Path) -> str:
    """The number format that a model's configuration names; float32 where it names none of ours."""
    try:
        config = json.loads((folder / CONFIG).read_text(encoding="utf-8"))
        found = config.get("dtype") or config.get("torch_dtype")
    except (OSError, ValueError, AttributeError, RecursionError) as error:
        raise InputError(f"{folder / CONFIG}: not a model's configuration ({error})") from error
    return found if found in ("bfloat16", "float16") else "float32"
