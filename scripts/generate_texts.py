"""Let the unedited model and every kept iteration of one run go on from each case's generation prompts."""

from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from reedit.edit.kept_weights import KeptStates
from reedit.evaluate.consistency import ReferenceTexts
from reedit.evaluate.fluency import make_openings, tell
from reedit.evaluate.kept_rows import KeptRows
from reedit.evaluate.measures import versions
from reedit.evaluate.settings import TextSettings
from reedit.jobs.job import job
from reedit.models.language_model import LanguageModel
from reedit.prepare.facts import read_generation_prompts
from reedit.prepare.preparation import model_revision
from reedit.prepare.reference_texts import read_references
from reedit.prepare.trials import trial_facts
from reedit.storage.files import file_sha256, payload
from reedit.storage.provenance import provenance

if TYPE_CHECKING:
    from snakemake.iocontainers import snakemake

with job(snakemake.log[0]):
    settings = TextSettings(**snakemake.params.settings)
    paths = {name: Path(path) for name, path in snakemake.input.items()}
    facts, _ = trial_facts(paths, settings.trial)
    file = payload(paths["references"]) if "references" in paths else None
    given = read_references(file) if file else {}
    openings = make_openings(facts, read_generation_prompts(paths["prompts"]))
    model = LanguageModel.load(paths["model"], settings.dtype, wording=settings.wording)
    states = KeptStates(model, paths["weights"], settings.layers)
    told = {"model_revision": model_revision(paths["model"]), "references": file and file_sha256(file)}
    made_by = provenance(asdict(settings), snakemake.params.code, told, versions("fluency", "consistency"))
    kept = KeptRows(Path(snakemake.params.kept), paths["model"], made_by, snakemake.rule)
    telling = partial(tell, model, seed=settings.seed, references=ReferenceTexts(given))
    kept.write(snakemake.output.texts, "texts", states, lambda at: at.of_edited(openings, facts), telling)
