"""Paired differences, iterated against once and assisted against plain, from the tables of runs and cases."""

from typing import TYPE_CHECKING

from reedit.jobs.job import job
from reedit.report.rows.differences import difference_rows
from reedit.storage import parquet

if TYPE_CHECKING:
    from snakemake.iocontainers import snakemake

with job(snakemake.log[0]) as log:
    inputs = snakemake.input
    runs, cases = parquet.read(inputs.runs, "runs"), parquet.read_table(inputs.cases, "cases")
    rows = difference_rows(runs, cases, snakemake.params.settings["seed"])
    log.info("%d comparisons", len({row["row"] for row in rows}))
    made_by = parquet.read_provenance(inputs.cases)
    parquet.write(rows, snakemake.output.differences, "differences", made_by)
