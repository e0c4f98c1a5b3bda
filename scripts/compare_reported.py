"""The rows of our tables beside the cells of the paper's, with a verdict each."""

from typing import TYPE_CHECKING

from reedit.jobs.job import job
from reedit.report.rows.comparison import compare
from reedit.report.rows.reported import read_reported
from reedit.storage import parquet

if TYPE_CHECKING:
    from snakemake.iocontainers import snakemake

with job(snakemake.log[0]) as log:
    inputs, settings = snakemake.input, snakemake.params.settings
    tables, made_by = {}, {}
    for number, path in zip(settings["numbers"], inputs.tables, strict=True):
        tables[int(number)] = parquet.read(path, "table")
        made_by |= parquet.read_provenance(path)["runs"]
    reported = read_reported(inputs.reported, inputs.slips)
    rows = compare(reported, tables, settings["reported_as"])
    log.info("%d cells compared", len(rows))
    parquet.write(rows, snakemake.output.comparison, "comparison", {"runs": made_by})
