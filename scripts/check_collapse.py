"""Measure the perplexity of general texts on the unedited model and every kept iteration of one run."""

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from reedit.edit.kept_weights import KeptStates
from reedit.evaluate.collapse import check_collapse, read_texts
from reedit.evaluate.kept_rows import KeptRows
from reedit.evaluate.measures import versions
from reedit.jobs.job import job
from reedit.models.language_model import LanguageModel
from reedit.prepare.preparation import model_revision
from reedit.storage.files import payload
from reedit.storage.provenance import provenance

if TYPE_CHECKING:
    from snakemake.iocontainers import snakemake

with job(snakemake.log[0]):
    settings, folder = snakemake.params.settings, Path(snakemake.input.model)
    texts = read_texts(payload(Path(snakemake.input.texts)))
    model = LanguageModel.load(folder, settings["dtype"])
    states = KeptStates(model, Path(snakemake.input.weights), settings["layers"])
    told = {"model_revision": model_revision(folder)} | versions("me_ppl")
    made_by = provenance(settings, snakemake.params.code, told)
    kept = KeptRows(Path(snakemake.params.kept), folder, made_by, snakemake.rule)
    kept.write(
        snakemake.output.collapse, "collapse", states, lambda at: texts, partial(check_collapse, model)
    )
