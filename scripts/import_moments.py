"""Import released second moments, once they are found to be this model's."""

from pathlib import Path
from typing import TYPE_CHECKING

from reedit.jobs.job import job
from reedit.models.language_model import LanguageModel
from reedit.prepare.preparation import model_revision
from reedit.statistics.corpora import fetched_documents
from reedit.statistics.importing import import_moments

if TYPE_CHECKING:
    from snakemake.iocontainers import snakemake

with job(snakemake.log[0]):
    settings, folder = snakemake.params.settings, Path(snakemake.input.model)
    revision = model_revision(folder)
    model = LanguageModel.load(folder, settings["dtype"])
    model.check_layers(settings["layers"])
    texts = fetched_documents(Path(snakemake.input.check), settings["check"])
    import_moments(
        *(model, Path(snakemake.input.source), settings["names"], texts, settings["check"]["max_tokens"]),
        *(settings["layers"], Path(snakemake.output[0])),
        {"corpus": snakemake.wildcards.corpus, "model": revision},
    )
