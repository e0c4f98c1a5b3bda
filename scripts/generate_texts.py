"""Let the unedited model and every kept iteration of one run go on from each case's generation prompts."""

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

from reedit.edit.kept_weights import kept_states
from reedit.evaluate.consistency import ReferenceTexts
from reedit.evaluate.fluency import make_openings, tell
from reedit.evaluate.measures import versions
from reedit.evaluate.settings import TextSettings
from reedit.jobs.job import job
from reedit.models.language_model import LanguageModel
from reedit.prepare.facts import read_generation_prompts
from reedit.prepare.preparation import model_revision
from reedit.prepare.reference_texts import read_references
from reedit.prepare.trials import trial_facts
from reedit.storage import parquet
from reedit.storage.files import payload
from reedit.storage.provenance import provenance

if TYPE_CHECKING:
    from snakemake.iocontainers import snakemake

with job(snakemake.log[0]):
    settings = TextSettings(**snakemake.params.settings)
    paths = {name: Path(path) for name, path in snakemake.input.items()}
    facts, _ = trial_facts(paths, settings.trial)
    given = read_references(payload(paths["references"])) if "references" in paths else {}
    openings, texts = make_openings(facts, read_generation_prompts(paths["prompts"])), ReferenceTexts(given)
    model = LanguageModel.load(paths["model"], settings.dtype, wording=settings.wording)
    rows = []
    for at in kept_states(model, paths["weights"], settings.layers):
        rows += at.told(tell(model, at.of_edited(openings, facts), at.k, settings.seed, texts))
    revision = {"model_revision": model_revision(paths["model"])} | versions("fluency", "consistency")
    made_by = provenance(asdict(settings), snakemake.params.code, revision)
    parquet.write(rows, snakemake.output.texts, "texts", made_by)
