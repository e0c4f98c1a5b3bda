"""One figure, as PDF for the document and PNG for the report."""

from typing import TYPE_CHECKING

from reedit.jobs.job import job
from reedit.report.figures.catalog import FIGURES
from reedit.report.figures.drawing import save

if TYPE_CHECKING:
    from snakemake.iocontainers import snakemake

with job(snakemake.log[0]):
    figure = FIGURES[snakemake.wildcards.figure](snakemake.input, snakemake.params.settings)
    save(figure, snakemake.output.pdf, snakemake.output.png)
