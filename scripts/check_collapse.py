"""Measure the perplexity of general texts on the unedited model and every kept iteration of one run."""

from pathlib import Path
from typing import TYPE_CHECKING

from reedit.job import job
from reedit.runs import collapse_run

if TYPE_CHECKING:
    from snakemake.iocontainers import snakemake

with job(snakemake.log[0]):
    paths = {name: Path(path) for name, path in [*snakemake.input.items(), *snakemake.output.items()]}
    collapse_run(paths, snakemake.params.settings)
