"""Ask the unedited model and every kept iteration of one run what is asked beside its scores."""

from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from reedit.edit.kept_weights import KeptStates
from reedit.evaluate.judge import load_judge
from reedit.evaluate.kept_rows import KeptRows
from reedit.evaluate.measures import versions
from reedit.evaluate.portability import ask
from reedit.evaluate.settings import AnswerSettings
from reedit.evaluate.speech import Speech
from reedit.jobs.job import job
from reedit.models.language_model import LanguageModel
from reedit.prepare.groups import groups_of
from reedit.prepare.preparation import model_revision
from reedit.prepare.trials import trial_facts
from reedit.storage.provenance import provenance

if TYPE_CHECKING:
    from snakemake.iocontainers import snakemake

with job(snakemake.log[0]):
    settings = AnswerSettings(**snakemake.params.settings)
    paths = {name: Path(path) for name, path in snakemake.input.items()}
    facts, _ = trial_facts(paths, settings.trial)
    items = groups_of(facts, paths["groups"])
    model = LanguageModel.load(paths["model"], settings.dtype, wording=settings.wording)
    states = KeptStates(model, paths["weights"], settings.layers)
    judge, judged_by = load_judge(settings.judge, paths.get("judge"), settings.judge_dtype)
    revision = {"model_revision": model_revision(paths["model"])} | versions("portability") | judged_by
    made_by = provenance(asdict(settings), snakemake.params.code, revision)
    kept = KeptRows(Path(snakemake.params.kept), paths["model"], made_by, snakemake.rule)
    kept.write(
        *(snakemake.output.portability, "portability", states),
        lambda at: at.of_edited(items, facts),
        partial(ask, model, speech=Speech.of(model, settings.chat, settings.tokens), judge=judge),
    )
