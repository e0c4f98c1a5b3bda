"""Measure norms and condition of the edited weights, unedited and at every kept iteration of one run."""

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from reedit.edit.kept_weights import KeptStates
from reedit.evaluate.kept_rows import KeptRows
from reedit.evaluate.measures import versions
from reedit.evaluate.norms import norm_rows
from reedit.jobs.job import job
from reedit.models.language_model import LanguageModel
from reedit.prepare.preparation import model_revision
from reedit.storage.provenance import provenance

if TYPE_CHECKING:
    from snakemake.iocontainers import snakemake

with job(snakemake.log[0]):
    settings, folder = snakemake.params.settings, Path(snakemake.input.model)
    model, layers = LanguageModel.load(folder, settings["dtype"]), settings["layers"]
    states = KeptStates(model, Path(snakemake.input.weights), layers)
    told = {"model_revision": model_revision(folder)} | versions("norms")
    made_by = provenance(settings, snakemake.params.code, told)
    kept = KeptRows(Path(snakemake.params.kept), folder, made_by, snakemake.rule)
    kept.write(snakemake.output.norms, "norms", states, lambda at: layers, partial(norm_rows, model))
