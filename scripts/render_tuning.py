"""What tuning tried and found as a page, and its fronts as a figure."""

from typing import TYPE_CHECKING

from reedit.jobs.job import job
from reedit.report.figures.drawing import save
from reedit.report.figures.tuning import tuning
from reedit.report.rows.tuning import read_tuning
from reedit.report.tables.tuning import hyperparameters_file, markdown
from reedit.storage.files import write_text

if TYPE_CHECKING:
    from snakemake.iocontainers import snakemake

with job(snakemake.log[0]):
    found, title = read_tuning(snakemake.input[0]), snakemake.params.settings["title"]
    write_text(snakemake.output.values, hyperparameters_file(found, snakemake.params.settings["model"]))
    write_text(snakemake.output.md, markdown(found, title))
    save(tuning(found, title), snakemake.output.pdf, snakemake.output.png)
