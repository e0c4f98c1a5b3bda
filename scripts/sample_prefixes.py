"""Sample the prefix templates from the model, or take the user's."""

from pathlib import Path
from typing import TYPE_CHECKING

from reedit.jobs.job import job
from reedit.models.language_model import LanguageModel
from reedit.prepare.prefixes import read_prefixes, sample_prefixes
from reedit.storage import parquet
from reedit.storage.files import payload
from reedit.storage.provenance import provenance

if TYPE_CHECKING:
    from snakemake.iocontainers import snakemake

with job(snakemake.log[0]):
    settings, dtype = snakemake.params.settings, snakemake.params.dtype["dtype"]
    if "source" in settings:
        templates = read_prefixes(payload(Path(snakemake.input.source)))
    else:
        templates = sample_prefixes(LanguageModel.load(snakemake.input.model, dtype), **settings)
    rows = [{"template": template} for template in templates]
    parquet.write(rows, snakemake.output[0], "prefixes", provenance(settings, snakemake.params.code))
