"""What tuning tried and found as a page, and its fronts as a figure."""

from pathlib import Path
from typing import TYPE_CHECKING

from reedit.jobs.job import job
from reedit.report.tuning_files import write_tuning

if TYPE_CHECKING:
    from snakemake.iocontainers import snakemake

with job(snakemake.log[0]):
    settings = snakemake.params.settings
    write_tuning(Path(snakemake.input[0]), settings["model"], settings["title"])
