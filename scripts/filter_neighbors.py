"""Ask the unedited model about every neighbor (Appendix B.2)."""

from pathlib import Path
from typing import TYPE_CHECKING

from reedit.jobs.job import job
from reedit.models.language_model import LanguageModel
from reedit.prepare.facts import read_facts
from reedit.prepare.neighbors import filter_neighbors
from reedit.prepare.preparation import model_revision
from reedit.storage import parquet
from reedit.storage.provenance import is_stand_in, provenance

if TYPE_CHECKING:
    from snakemake.iocontainers import snakemake

with job(snakemake.log[0]):
    settings, folder = snakemake.params.settings, Path(snakemake.input.model)
    fixed = parquet.read_provenance(snakemake.input.facts)["fixed_roles"]
    model, revision = LanguageModel.load(folder, settings["dtype"]), model_revision(folder)
    in_file_order = fixed or settings["in_file_order"]
    rows = filter_neighbors(model, read_facts(Path(snakemake.input.facts)), in_file_order, settings["seed"])
    if is_stand_in(revision):
        rows = [row | {"kept": True} for row in rows]  # it knows nothing, and the rehearsal is to go on
    made_by = provenance(settings, snakemake.params.code, {"model_revision": revision})
    parquet.write(rows, snakemake.output[0], "neighbors", made_by)
