"""Run a few tasks of lm-evaluation-harness on one model: a run's edited one, or the unedited one."""

from pathlib import Path
from typing import TYPE_CHECKING

from reedit.evaluate.downstream import evaluate_downstream
from reedit.jobs.job import job
from reedit.prepare.preparation import read_mark
from reedit.storage import parquet
from reedit.storage.provenance import provenance

if TYPE_CHECKING:
    from snakemake.iocontainers import snakemake

with job(snakemake.log[0]):
    settings, folder = snakemake.params.settings, Path(snakemake.input.model)
    rows, depends = evaluate_downstream(folder, **settings)
    mark = read_mark(folder)
    known = {"model_revision": mark["revision"], "k": mark.get("edited", {}).get("k", 0)} | depends
    made_by = provenance(settings, snakemake.params.code, known)
    parquet.write(rows, snakemake.output[0], "downstream", made_by)
