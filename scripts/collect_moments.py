"""Collect the second moments of all edited layers in one pass."""

from pathlib import Path
from typing import TYPE_CHECKING

from reedit.jobs.job import job
from reedit.models.language_model import LanguageModel
from reedit.prepare.preparation import model_revision
from reedit.statistics.corpora import fetched_documents, tokens_of
from reedit.statistics.finished_layers import leave_layers, take_layers
from reedit.statistics.moments import Reading, collect_moments, write_moment
from reedit.storage.checkpoint import Checkpoint, fingerprint
from reedit.storage.provenance import provenance

if TYPE_CHECKING:
    from snakemake.iocontainers import snakemake

with job(snakemake.log[0]):
    settings, inputs = snakemake.params.settings, {n: Path(p) for n, p in snakemake.input.items()}
    layers, folder, revision = (
        settings.pop("layers"),
        Path(snakemake.output[0]),
        model_revision(inputs["model"]),
    )
    model = LanguageModel.load(inputs["model"], settings["dtype"])
    model.check_layers(layers)
    tokens = tokens_of(settings.get("tokens"), model.widest_key(layers))
    told = provenance(settings, snakemake.params.code, {"model": revision, "device": model.device.type})
    made_of = fingerprint(told | {"tokens": tokens}, inputs)
    finished, marks = Path(snakemake.params.finished), dict.fromkeys(layers, made_of)
    if missing := take_layers(finished, marks, folder):
        saved = Checkpoint(**snakemake.params.state, fingerprint=f"{made_of} {missing}")
        texts, reading = (
            fetched_documents(inputs["source"], settings),
            Reading(settings["max_tokens"], tokens=tokens),
        )
        moments, count = collect_moments(model, texts, missing, reading, saved)
        metadata = {"samples": str(texts.taken), "max_tokens": str(settings["max_tokens"])}
        metadata |= {"tokens": str(settings["tokens"])} if tokens else {}
        metadata |= {"corpus": snakemake.wildcards.corpus, "count": str(count), "model": revision}
        for layer, moment in moments:
            write_moment(moment, folder / f"{layer}.safetensors", metadata)
        saved.discard()
    leave_layers(finished, marks, folder)
