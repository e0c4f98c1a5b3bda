"""Import released second moments, once they are found to be this model's."""

from pathlib import Path
from typing import TYPE_CHECKING

from reedit.jobs.job import job
from reedit.models.language_model import LanguageModel
from reedit.prepare.preparation import model_revision
from reedit.statistics.corpora import fetched_documents
from reedit.statistics.fingerprint import Sample
from reedit.statistics.importing import import_moments
from reedit.statistics.npz_statistics import find_statistics

if TYPE_CHECKING:
    from snakemake.iocontainers import snakemake

with job(snakemake.log[0]):
    settings, folder = snakemake.params.settings, Path(snakemake.input.model)
    revision = model_revision(folder)
    model = LanguageModel.load(folder, settings["dtype"])
    source, layers, check = Path(snakemake.input.source), settings["layers"], settings["check"]
    model.check_layers(layers)
    files = {layer: find_statistics(source, model.module_name(layer), settings["names"]) for layer in layers}
    sample = Sample(model, fetched_documents(Path(snakemake.input.check), check), layers, check["max_tokens"])
    metadata = {"corpus": snakemake.wildcards.corpus, "model": revision}
    import_moments(files, source, sample, Path(snakemake.output[0]), metadata)
