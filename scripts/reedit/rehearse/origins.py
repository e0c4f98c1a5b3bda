"""Where a model's tokenizer and architecture come from without its weights: some hundred kilobytes."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from reedit.errors import InputError
from reedit.fetch.sources import fetch
from reedit.prepare.preparation import prepare_model
from reedit.settings.experiment import Experiment


def texts_of_model(experiment: Experiment, model: str, results: Path, folder: Path) -> Path:
    """A folder with the tokenizer of `model` and, where it is known there, its config.json.

    In this order: what models.{model}.tokenizer names; the model as it was prepared or fetched in
    `results`; the text files of its source, fetched into `folder` (of a hub's repository no weights; a
    wheel is fetched whole). Raises InputError, naming the configuration's key, where there is none to be
    had.
    """
    definition = experiment.config["models"][model]
    name = definition.get("tokenizer", {}).get("source", definition["source"])
    source = experiment.files.located(name)
    places = [results / "sources" / name]
    if name == definition["source"]:
        places.insert(0, results / "models" / model)
    for place in places:
        if place.is_dir() and not any(place.glob("*.gguf")):
            return place
    try:
        return _fetched(name, source, folder)
    except InputError as error:
        hint = f"; models.{model}.tokenizer.source may name a folder that has it" * (source["kind"] == "hub")
        raise InputError(f"config: models.{model}: no tokenizer to rehearse with: {error}{hint}") from error


def _fetched(name: str, source: Mapping[str, Any], folder: Path) -> Path:
    """A source below `folder`, fetched anew where its definition has changed; of a GGUF file what it says."""
    place, mark = folder / name, folder / f"{name}.json"
    if source["kind"] == "folder":
        place = Path(source["path"])  # nothing is written there
    else:
        definition = json.dumps(dict(source), sort_keys=True)
        if not (place.is_dir() and mark.is_file() and mark.read_text() == definition):
            fetch(name, {**source, "weights": False} if source["kind"] == "hub" else source, place)
            mark.write_text(definition)
    if not any(place.glob("*.gguf")):
        return place
    prepared = folder / f"{name}-prepared"
    if not prepared.is_dir():
        prepare_model(place, prepared, source)
    return prepared
