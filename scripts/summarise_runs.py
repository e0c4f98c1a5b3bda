"""Every run's scores, perplexities and iterations to one table of runs, and to the rows of each table."""

from typing import TYPE_CHECKING

from reedit.jobs.job import job
from reedit.report.rows.runs import RunFiles, gather
from reedit.report.tables.paper_rows import paper_rows
from reedit.storage import parquet

if TYPE_CHECKING:
    from snakemake.iocontainers import snakemake

with job(snakemake.log[0]) as log:
    inputs, outputs, settings = snakemake.input, snakemake.output, snakemake.params.settings
    files = map(RunFiles, inputs.scores, inputs.collapse, inputs.iterations)
    found = gather(settings["runs"], list(files))
    log.info("%d runs, %d models judged", len(found.scores), len(found.rows))
    parquet.write(found.rows, outputs.runs, "runs", {"runs": found.made_by})
    tables = paper_rows(found, settings["runs"], inputs.iterations, settings["seed"])
    for path, (rows, schema, made_by) in zip(outputs.tables, tables, strict=True):
        parquet.write(rows, path, schema, made_by)
