"""Edit the cases of one trial, iterated: the paper's experiment for one method."""

from pathlib import Path
from typing import TYPE_CHECKING

from reedit.job import job
from reedit.runs import edit_run

if TYPE_CHECKING:
    from snakemake.iocontainers import snakemake

with job(snakemake.log[0]):
    paths = {name: Path(path) for name, path in [*snakemake.input.items(), *snakemake.output.items()]}
    edit_run(paths, Path(snakemake.params.state["folder"]), snakemake.params.settings)
