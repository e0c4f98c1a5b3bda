"""Measure norms and condition of the edited weights, unedited and at every kept iteration of one run."""

from pathlib import Path
from typing import TYPE_CHECKING

from reedit.edit.kept_weights import kept_states
from reedit.evaluate.measures import versions
from reedit.evaluate.norms import norm_rows
from reedit.jobs.job import job
from reedit.models.language_model import LanguageModel
from reedit.prepare.preparation import model_revision
from reedit.storage import parquet
from reedit.storage.provenance import provenance

if TYPE_CHECKING:
    from snakemake.iocontainers import snakemake

with job(snakemake.log[0]):
    settings, folder = snakemake.params.settings, Path(snakemake.input.model)
    model, layers = LanguageModel.load(folder, settings["dtype"]), settings["layers"]
    states = kept_states(model, Path(snakemake.input.weights), layers)
    rows = [row for at in states for row in at.told(norm_rows(model, layers, at.k))]
    told = {"model_revision": model_revision(folder)} | versions("norms")
    made_by = provenance(settings, snakemake.params.code, told)
    parquet.write(rows, snakemake.output.norms, "norms", made_by)
