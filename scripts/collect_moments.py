"""Collect the second moments of all edited layers in one pass."""

from pathlib import Path
from typing import TYPE_CHECKING

from reedit.jobs.job import job
from reedit.models.language_model import LanguageModel
from reedit.prepare.preparation import model_revision
from reedit.statistics.corpora import fetched_documents, tokens_of
from reedit.statistics.moments import Reading, collect_moments, write_moment
from reedit.storage.checkpoint import Checkpoint, fingerprint
from reedit.storage.provenance import provenance

if TYPE_CHECKING:
    from snakemake.iocontainers import snakemake

with job(snakemake.log[0]):
    settings, inputs = snakemake.params.settings, {n: Path(p) for n, p in snakemake.input.items()}
    revision = model_revision(inputs["model"])
    model = LanguageModel.load(inputs["model"], settings["dtype"])
    model.check_layers(settings["layers"])
    told = provenance(settings, snakemake.params.code, {"model": revision, "device": model.device.type})
    saved = Checkpoint(**snakemake.params.state, fingerprint=fingerprint(told, inputs))
    texts = fetched_documents(inputs["source"], settings)
    tokens = tokens_of(settings.get("tokens"), model.widest_key(settings["layers"]))
    reading = Reading(settings["max_tokens"], tokens=tokens)
    moments, count = collect_moments(model, texts, settings["layers"], reading, saved)
    metadata = {"samples": str(texts.taken), "max_tokens": str(settings["max_tokens"])}
    metadata |= {"tokens": str(settings["tokens"])} if tokens else {}
    metadata |= {"corpus": snakemake.wildcards.corpus, "count": str(count), "model": revision}
    for layer, moment in moments:
        write_moment(moment, Path(snakemake.output[0]) / f"{layer}.safetensors", metadata)
    saved.discard()
