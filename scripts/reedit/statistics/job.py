"""The job that collects the second moments of a model and corpus, from input files to output files."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from reedit.models.language_model import LanguageModel
from reedit.prepare.preparation import model_revision
from reedit.statistics.corpora import fetched_documents, tokens_of
from reedit.statistics.finished_layers import leave_layers, take_layers
from reedit.statistics.moments import Reading, collect_moments, write_moment
from reedit.storage.checkpoint import Checkpoint, fingerprint
from reedit.storage.provenance import provenance


def collect_layers(
    paths: Mapping[str, Path],
    settings: Mapping[str, Any],
    state: Mapping[str, Any],
    code: Mapping[str, str],
) -> None:
    """Write the moments of all `layers` of the settings in one pass, {layer}.safetensors each.

    `paths`: model, source; output moments, its folder named as the corpus; finished, for layers that an
    earlier job has made. `state`: folder and every, where and how often an interrupted job keeps its sums.
    """
    layers, folder, revision = settings["layers"], paths["moments"], model_revision(paths["model"])
    model = LanguageModel.load(paths["model"], settings["dtype"])
    model.check_layers(layers)
    tokens = tokens_of(settings.get("tokens"), model.widest_key(layers))
    made_of = {name: value for name, value in settings.items() if name != "layers"} | {"cut": tokens}
    told = provenance(made_of, code, {"model": revision, "device": model.device.type})
    mark = fingerprint(told, {name: paths[name] for name in ("model", "source")})
    marks = dict.fromkeys(layers, mark)
    if missing := take_layers(paths["finished"], marks, folder):
        saved = Checkpoint(**state, fingerprint=f"{mark} {missing}")
        texts = fetched_documents(paths["source"], settings)
        reading = Reading(settings["max_tokens"], tokens=tokens)
        moments, count = collect_moments(model, texts, missing, reading, saved)
        metadata = {"samples": str(texts.taken), "max_tokens": str(settings["max_tokens"])}
        metadata |= {"tokens": str(settings["tokens"])} if tokens else {}
        metadata |= {"corpus": folder.name, "count": str(count), "model": revision}
        for layer, moment in moments:
            write_moment(moment, folder / f"{layer}.safetensors", metadata)
        saved.discard()
    leave_layers(paths["finished"], marks, folder)
