"""Generation beside teacher forcing as .tex for the document, raw .csv and .md for the terminal."""

from typing import TYPE_CHECKING

from reedit.jobs.job import job
from reedit.report.generation_tables import generation_csv, generation_md, generation_tex
from reedit.report.notes import provenance_notes
from reedit.storage import parquet
from reedit.storage.files import write_text

if TYPE_CHECKING:
    from snakemake.iocontainers import snakemake

with job(snakemake.log[0]):
    inputs, labels = snakemake.input, snakemake.params.settings["labels"]
    rows = parquet.read(inputs.generation, "table")
    notes = provenance_notes(parquet.read_provenance(inputs.generation)["runs"])
    for text, path in [
        (generation_tex(rows, inputs.template, notes, labels), snakemake.output.tex),
        (generation_csv(rows, labels), snakemake.output.csv),
        (generation_md(rows, notes, labels), snakemake.output.md),
    ]:
        write_text(path, text)
