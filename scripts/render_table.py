"""One summary table as .tex in the paper's layout, .csv with raw numbers and .md for the terminal."""

from typing import TYPE_CHECKING

from reedit import parquet
from reedit.files import atomic
from reedit.job import job
from reedit.notes import provenance_notes
from reedit.tables import table_csv, table_md, table_tex

if TYPE_CHECKING:
    from snakemake.iocontainers import snakemake

with job(snakemake.log[0]):
    rows = parquet.read(snakemake.input.table, "table")
    number = snakemake.wildcards.n
    notes = provenance_notes(parquet.read_provenance(snakemake.input.table)["runs"])
    for text, path in [
        (table_tex(rows, number, snakemake.input.template, notes), snakemake.output.tex),
        (table_csv(rows), snakemake.output.csv),
        (table_md(rows, number, notes), snakemake.output.md),
    ]:
        with atomic(path) as temporary:
            temporary.write_text(text, encoding="utf-8")
