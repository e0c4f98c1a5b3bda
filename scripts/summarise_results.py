"""All runs to one summary: cases, differences, generation, norms, the comparison with the paper, ...."""

from typing import TYPE_CHECKING

from reedit.jobs.job import job
from reedit.report.rows.summaries import SUMMARIES

if TYPE_CHECKING:
    from snakemake.iocontainers import snakemake

with job(snakemake.log[0]) as log:
    summary = SUMMARIES[snakemake.wildcards.summary]
    count = summary.write(snakemake.input, snakemake.params.settings, snakemake.output[0])
    log.info("%d rows", count)
