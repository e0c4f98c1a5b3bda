"""The tables and figures as one PDF, with what they come from."""

from pathlib import Path
from typing import TYPE_CHECKING

from reedit.jobs.job import job
from reedit.report.latex.compile import compile_pdf
from reedit.report.latex.document import document
from reedit.report.tables.notes import REHEARSAL

if TYPE_CHECKING:
    from snakemake.iocontainers import snakemake

TITLE = "Iterative and neighbor-assisted model editing: measured tables"
NOTE = "Every number was measured by the run that made this file; each table names what produced it."

with job(snakemake.log[0]) as log:
    inputs, pdf = snakemake.input, snakemake.output.pdf
    parts = inputs.template, [*inputs.tables, *inputs.comparisons], inputs.figures
    rehearsed = any(REHEARSAL in Path(table).read_text(encoding="utf-8") for table in inputs.tables)
    title, note = (f"Rehearsal. {TITLE}", REHEARSAL) if rehearsed else (TITLE, NOTE)
    tex, files = document(*parts, title, [note])
    wide = compile_pdf(tex, pdf, Path(snakemake.log[0]).with_suffix(".tex.log"), files)
    if any(width > 1 for width in wide):
        log.warning("%s: lines stick out by up to %.0f pt; shorten a label", pdf, max(wide))
