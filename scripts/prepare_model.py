"""Make the model folder that every job loads."""

from pathlib import Path
from typing import TYPE_CHECKING

from reedit.jobs.job import job
from reedit.prepare.preparation import prepare_model

if TYPE_CHECKING:
    from snakemake.iocontainers import snakemake

with job(snakemake.log[0]) as log:
    revision = prepare_model(
        Path(snakemake.input.source), Path(snakemake.output[0]), snakemake.params.settings["source"]
    )
    log.info("model %s is %s", snakemake.wildcards.model, revision)
