"""One summary table as .tex in the paper's layout, .csv with raw numbers and .md for the terminal."""

from typing import TYPE_CHECKING

from reedit.jobs.job import job
from reedit.report.tables.face import face, write_table
from reedit.report.tables.hardware import hardware_csv, hardware_md, hardware_tex
from reedit.report.tables.notes import PARTLY, provenance_notes, unmet_note
from reedit.report.tables.paper import HARDWARE
from reedit.report.tables.paper_sheet import table_csv, table_md, table_tex
from reedit.storage import parquet

if TYPE_CHECKING:
    from snakemake.iocontainers import snakemake

with job(snakemake.log[0]):
    number, inputs, settings = snakemake.wildcards.n, snakemake.input, snakemake.params.settings
    made_by, labels = parquet.read_provenance(inputs.table), settings["labels"]
    notes = provenance_notes(made_by["runs"])
    if number == HARDWARE:
        rows = parquet.read(inputs.table, "hardware")
        tex = hardware_tex(rows, inputs.template, notes, labels)
        csv, md = hardware_csv(rows), hardware_md(rows, notes, labels)
    else:
        rows = parquet.read(inputs.table, "table")
        left_out = unmet_note(made_by["unmet"], labels) + unmet_note(made_by["partly"], labels, PARTLY)
        notes = left_out + notes
        tex = table_tex(rows, number, inputs.template, notes, labels, settings["intervals"])
        csv, md = table_csv(rows, labels), table_md(rows, number, notes, labels)
    write_table(snakemake.output, tex, csv, md, face(made_by["runs"].values()))
