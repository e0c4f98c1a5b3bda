"""Regularise the updates of another method's run, iteration by iteration."""

from pathlib import Path
from typing import TYPE_CHECKING

from reedit.edit.job.regularise_run import regularise_run
from reedit.edit.job.settings import EditSettings
from reedit.jobs.job import job

if TYPE_CHECKING:
    from snakemake.iocontainers import snakemake

with job(snakemake.log[0]):
    paths = {name: Path(path) for name, path in [*snakemake.input.items(), *snakemake.output.items()]}
    settings = EditSettings(**snakemake.params.settings)
    regularise_run(paths, settings, snakemake.params.regularisation)
