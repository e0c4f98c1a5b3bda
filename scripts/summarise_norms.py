"""Every run's norms and residuals to one row per method and k, with what they say."""

from typing import TYPE_CHECKING

from reedit.jobs.job import job
from reedit.report.rows.norms import NormFiles, norm_summary_rows
from reedit.storage import parquet

if TYPE_CHECKING:
    from snakemake.iocontainers import snakemake

with job(snakemake.log[0]) as log:
    inputs, runs = snakemake.input, snakemake.params.settings["runs"]
    files = {
        (run["model"], run["dataset"], run["method"], run["trial"]): NormFiles(*of_run)
        for run, *of_run in zip(runs, inputs.norms, inputs.iterations, inputs.targets, strict=True)
    }
    rows = norm_summary_rows(parquet.read(inputs.runs, "runs"), files)
    log.info("%d runs, %d rows", len(files), len(rows))
    parquet.write(rows, snakemake.output.norms, "norm_summary", parquet.read_provenance(inputs.runs))
