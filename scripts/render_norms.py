"""Norms per iteration as .tex for the document, .csv with raw numbers and .md for the terminal."""

from typing import TYPE_CHECKING

from reedit import parquet
from reedit.files import write_text
from reedit.job import job
from reedit.norm_tables import norms_csv, norms_md, norms_tex
from reedit.notes import provenance_notes

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
