"""Score the unedited model and every kept iteration of one run."""

from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from reedit.edit.kept_weights import KeptStates
from reedit.evaluate.kept_rows import KeptRows
from reedit.evaluate.measures import METRICS, versions
from reedit.evaluate.probes import make_probes
from reedit.evaluate.scoring import score
from reedit.evaluate.settings import ScoreSettings
from reedit.jobs.job import job
from reedit.models.language_model import LanguageModel
from reedit.prepare.preparation import model_revision
from reedit.prepare.trials import scored_neighbors, trial_facts
from reedit.storage.provenance import provenance

if TYPE_CHECKING:
    from snakemake.iocontainers import snakemake

with job(snakemake.log[0]):
    settings = ScoreSettings(**snakemake.params.settings)
    paths = {name: Path(path) for name, path in snakemake.input.items()}
    facts, filtered = trial_facts(paths, settings.trial)
    neighbors = scored_neighbors(facts, filtered, settings.eligible, settings.assisting)
    model = LanguageModel.load(paths["model"], settings.dtype, wording=settings.wording)
    probes = make_probes(model, facts, neighbors, settings.protocol)
    states = KeptStates(model, paths["weights"], settings.layers)
    revision = {"model_revision": model_revision(paths["model"])} | versions(*METRICS)
    made_by = provenance(asdict(settings), snakemake.params.code, revision)
    kept = KeptRows(Path(snakemake.params.kept), paths["model"], made_by, snakemake.rule)
    kept.write(
        *(snakemake.output.scores, "scores", states),
        lambda at: at.of_edited(probes, facts),
        partial(score, model),
    )
