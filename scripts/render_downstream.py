"""The downstream tasks of every edited model beside the unedited one's, as .tex, .csv and .md."""

from typing import TYPE_CHECKING

from reedit.jobs.job import job
from reedit.report.tables.downstream import (
    downstream_csv,
    downstream_md,
    downstream_rows,
    downstream_tex,
    notes,
)
from reedit.report.tables.face import face, write_table
from reedit.storage import parquet

if TYPE_CHECKING:
    from snakemake.iocontainers import snakemake

with job(snakemake.log[0]):
    inputs, output, settings = snakemake.input, snakemake.output, snakemake.params.settings
    made_by = [parquet.read_provenance(path) for path in [*inputs.edited, *inputs.unedited]]
    unedited = dict(zip(settings["models"], inputs.unedited, strict=True))
    rows = []
    for run, path, one in zip(settings["runs"], inputs.edited, made_by, strict=False):
        before = parquet.read(unedited[run["model"]], "downstream")
        rows += downstream_rows(run | {"k": one["k"]}, parquet.read(path, "downstream"), before)
    told, labels = notes(made_by), settings["labels"]
    tex, md = downstream_tex(rows, inputs.template, told, labels), downstream_md(rows, told, labels)
    write_table(output, tex, downstream_csv(rows), md, face(made_by))
