"""Norms per iteration as .tex for the document, .csv with raw numbers and .md for the terminal."""

from typing import TYPE_CHECKING

from reedit.jobs.job import job
from reedit.report.norm_tables import norms_csv, norms_md, norms_tex
from reedit.report.notes import provenance_notes
from reedit.storage import parquet
from reedit.storage.files import write_text

if TYPE_CHECKING:
    from snakemake.iocontainers import snakemake

with job(snakemake.log[0]):
    inputs, labels = snakemake.input, snakemake.params.settings["labels"]
    rows = parquet.read(inputs.norms, "norm_summary")
    notes = provenance_notes(parquet.read_provenance(inputs.norms)["runs"])
    for text, path in [
        (norms_tex(rows, inputs.template, notes, labels), snakemake.output.tex),
        (norms_csv(rows), snakemake.output.csv),
        (norms_md(rows, notes, labels), snakemake.output.md),
    ]:
        write_text(path, text)
