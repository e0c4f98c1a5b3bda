"""One of the tables beside the paper's as .tex for the document, .csv with raw numbers and .md to be read."""

from typing import TYPE_CHECKING

from reedit.jobs.job import job
from reedit.report.notes import provenance_notes
from reedit.report.summaries import SUMMARIES
from reedit.storage import parquet
from reedit.storage.files import write_text

if TYPE_CHECKING:
    from snakemake.iocontainers import snakemake

with job(snakemake.log[0]):
    inputs, output, labels = snakemake.input, snakemake.output, snakemake.params.settings["labels"]
    summary = SUMMARIES[snakemake.wildcards.summary]
    rows = parquet.read(inputs.rows, summary.schema)
    notes = provenance_notes(parquet.read_provenance(inputs.rows)["runs"])
    for text, path in [
        (summary.tex(rows, inputs.template, notes, labels), output.tex),
        (summary.csv(rows, labels), output.csv),
        (summary.md(rows, notes, labels), output.md),
    ]:
        write_text(path, text)
