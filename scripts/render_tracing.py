"""Causal tracing as a table with the layers that it points at, and as a figure."""

from typing import TYPE_CHECKING

from reedit.jobs.job import job
from reedit.report.figures.tracing import draw
from reedit.report.rows.tracing import effects
from reedit.report.tables.tracing import markdown
from reedit.storage import parquet
from reedit.storage.files import write_text

if TYPE_CHECKING:
    from snakemake.iocontainers import snakemake

with job(snakemake.log[0]):
    settings, traced = snakemake.params.settings, snakemake.input[0]
    found = effects(parquet.read(traced, "tracing"))
    write_text(snakemake.output.md, markdown(found, settings["title"], parquet.read_provenance(traced)))
    draw(found, settings["title"], snakemake.output.pdf, snakemake.output.png)
