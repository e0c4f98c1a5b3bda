"""Every run's scores and perplexities to one table of cases, and the one case that a figure follows."""

from typing import TYPE_CHECKING

import pyarrow as pa

from reedit.jobs.job import job
from reedit.report.rows.cases import case_rows
from reedit.report.rows.example import example_rows
from reedit.storage import parquet
from reedit.storage.schemas import SCHEMAS

if TYPE_CHECKING:
    from snakemake.iocontainers import snakemake

with job(snakemake.log[0]) as log:
    inputs, outputs, settings = snakemake.input, snakemake.output, snakemake.params.settings
    made_by = parquet.read_provenance(inputs.runs)
    tables = [
        case_rows(run, scores, targets)
        for run, scores, targets in zip(settings["runs"], inputs.scores, inputs.targets, strict=True)
    ]
    cases = pa.concat_tables(tables) if tables else SCHEMAS["cases"].empty_table()
    log.info("%d runs, %d rows", len(tables), len(cases))
    parquet.write_table(cases, outputs.cases, "cases", made_by)
    facts = dict(zip(settings["datasets"], inputs.facts, strict=True))
    example = example_rows(parquet.read(inputs.runs, "runs"), cases, facts)
    parquet.write(example, outputs.example, "example", made_by)
