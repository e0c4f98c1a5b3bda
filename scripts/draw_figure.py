"""One figure, as PDF for the document and PNG for the report."""

from typing import TYPE_CHECKING

from reedit import figures, parquet
from reedit.job import job

if TYPE_CHECKING:
    from snakemake.iocontainers import snakemake

with job(snakemake.log[0]):
    draw = {"perplexity": figures.perplexity, "scores": figures.scores}[snakemake.wildcards.figure]
    draw(parquet.read(snakemake.input.runs, "runs"), snakemake.output.pdf, snakemake.output.png)
