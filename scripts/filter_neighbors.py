"""Ask the unedited model about every neighbor (Appendix B.2)."""

from pathlib import Path
from typing import TYPE_CHECKING

from reedit.jobs.forced import forget_if_forced
from reedit.jobs.job import job
from reedit.models.language_model import LanguageModel
from reedit.prepare.facts import read_facts
from reedit.prepare.neighbors import filter_neighbors
from reedit.prepare.preparation import model_revision
from reedit.storage import parquet
from reedit.storage.checkpoint import Checkpoint, fingerprint
from reedit.storage.provenance import is_stand_in, provenance

if TYPE_CHECKING:
    from snakemake.iocontainers import snakemake

with job(snakemake.log[0]):
    settings, inputs = snakemake.params.settings, {n: Path(p) for n, p in snakemake.input.items()}
    revision = {"model_revision": model_revision(inputs["model"])}
    fixed = parquet.read_provenance(inputs["facts"])["fixed_roles"]
    model = LanguageModel.load(inputs["model"], settings["dtype"], wording=settings.get("wording"))
    made_by = provenance(settings, snakemake.params.code, revision)
    told = {**made_by, "device": model.device.type}
    forget_if_forced(snakemake.rule, snakemake.output, snakemake.params.state["folder"])
    saved = Checkpoint(**snakemake.params.state, fingerprint=fingerprint(told, inputs))
    in_file_order = fixed or settings["in_file_order"]
    facts, rehearsed = read_facts(inputs["facts"]), is_stand_in(revision["model_revision"])
    rows = filter_neighbors(model, facts, in_file_order, settings["seed"], saved, knows_all=rehearsed)
    parquet.write(rows, snakemake.output[0], "neighbors", made_by)
    saved.discard()
