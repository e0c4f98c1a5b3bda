"""Trace what restoring a layer's states at the subject gives back of facts that noise made a model lose."""

from pathlib import Path
from typing import TYPE_CHECKING

from reedit.jobs.job import job
from reedit.models.language_model import LanguageModel
from reedit.prepare.facts import read_facts
from reedit.prepare.preparation import model_revision
from reedit.prepare.tracing import trace_facts
from reedit.storage import parquet
from reedit.storage.provenance import provenance

if TYPE_CHECKING:
    from snakemake.iocontainers import snakemake

with job(snakemake.log[0]):
    settings, folder = snakemake.params.settings, Path(snakemake.input.model)
    model = LanguageModel.load(folder, settings["dtype"], wording=settings.get("wording"))
    rows = trace_facts(model, read_facts(Path(snakemake.input.facts)), settings)
    made_by = provenance(settings, snakemake.params.code, {"model_revision": model_revision(folder)})
    parquet.write(rows, snakemake.output[0], "tracing", made_by)
