"""One of the tables beside the paper's as .tex for the document, .csv with raw numbers and .md to be read."""

from typing import TYPE_CHECKING

from reedit.jobs.job import job
from reedit.report.tables.catalog import SUMMARIES
from reedit.report.tables.face import face, write_table
from reedit.report.tables.notes import provenance_notes
from reedit.storage import parquet

if TYPE_CHECKING:
    from snakemake.iocontainers import snakemake

with job(snakemake.log[0]):
    inputs, output, labels = snakemake.input, snakemake.output, snakemake.params.settings["labels"]
    summary = SUMMARIES[snakemake.wildcards.summary]
    rows = parquet.read(inputs.rows, summary.schema)
    made_by = parquet.read_provenance(inputs.rows)["runs"]
    notes, given = provenance_notes(made_by), (rows, inputs.template)
    tex, md = summary.tex(*given, notes, labels), summary.md(rows, notes, labels)
    write_table(output, tex, summary.csv(rows, labels), md, face(made_by.values()))
