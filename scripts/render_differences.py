"""Paired differences as .tex for the document, .csv with raw numbers and .md in sentences."""

from typing import TYPE_CHECKING

from reedit.jobs.job import job
from reedit.report.difference_tables import differences_csv, differences_md, differences_tex
from reedit.report.notes import provenance_notes
from reedit.storage import parquet
from reedit.storage.files import write_text

if TYPE_CHECKING:
    from snakemake.iocontainers import snakemake

with job(snakemake.log[0]):
    inputs, labels = snakemake.input, snakemake.params.settings["labels"]
    rows = parquet.read(inputs.differences, "differences")
    notes = provenance_notes(parquet.read_provenance(inputs.differences)["runs"])
    for text, path in [
        (differences_tex(rows, inputs.template, notes, labels), snakemake.output.tex),
        (differences_csv(rows), snakemake.output.csv),
        (differences_md(rows, notes, labels), snakemake.output.md),
    ]:
        write_text(path, text)
