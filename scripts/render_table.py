"""One table as .tex for the document, .csv with raw numbers and .md for the terminal."""

from typing import TYPE_CHECKING

from reedit.jobs.job import job
from reedit.report.tables.catalog import TABLES
from reedit.report.tables.notes import face
from reedit.report.tables.render import texts
from reedit.report.tables.sheet import Style
from reedit.storage import parquet
from reedit.storage.files import write_text

if TYPE_CHECKING:
    from snakemake.iocontainers import snakemake

with job(snakemake.log[0]):
    inputs, settings = snakemake.input, snakemake.params.settings
    table = TABLES[snakemake.wildcards.table]
    rows, made_by = parquet.read(inputs.rows, table.schema), parquet.read_provenance(inputs.rows)
    style = Style(settings["labels"], settings["intervals"], face(made_by["runs"].values()))
    notes = table.produced_by(made_by, style.labels)
    for end, text in texts(table, rows, notes, inputs.template, style)._asdict().items():
        write_text(snakemake.output[end], text)
