"""Run a few tasks of lm-evaluation-harness on one model: unedited, or a run's at one k and along it."""

from pathlib import Path
from typing import TYPE_CHECKING

from reedit.edit.kept_weights import UNEDITED, KeptStates
from reedit.evaluate.downstream import evaluate_downstream
from reedit.jobs.job import job
from reedit.models.language_model import LanguageModel
from reedit.prepare.preparation import model_revision
from reedit.storage import parquet
from reedit.storage.provenance import provenance
from reedit.use.run_folder import RunFolder

if TYPE_CHECKING:
    from snakemake.iocontainers import snakemake

with job(snakemake.log[0]):
    settings, weights = snakemake.params.settings, snakemake.input.get("weights")
    folder = Path(snakemake.input.model)
    asked = {name: settings[name] for name in ("tasks", "limit", "folder", "seed")}
    model = LanguageModel.load(folder, settings["dtype"])
    states, k, rows = [UNEDITED], 0, []
    if weights:
        run = RunFolder(Path(weights).parent)
        k, layers = run.chosen(settings["k"]), run.made_by["hyperparameters"]["layers"]
        states = KeptStates(model, Path(weights), layers)
    for at in states:
        if at.k == k:
            found, depends = evaluate_downstream(model, **asked)
            rows += at.told(found)
    known = {"model_revision": model_revision(folder), "k": k} | depends
    parquet.write(rows, snakemake.output[0], "downstream", provenance(settings, snakemake.params.code, known))
