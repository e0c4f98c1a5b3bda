"""The comparison with one of the paper's tables, or their summary, as .tex, .csv and .md."""

from typing import TYPE_CHECKING

from reedit.jobs.job import job
from reedit.report.tables import comparison as comparison_tables
from reedit.report.tables import comparison_summary
from reedit.report.tables.face import face, write_table
from reedit.storage import parquet

if TYPE_CHECKING:
    from snakemake.iocontainers import snakemake

with job(snakemake.log[0]):
    rows = parquet.read(snakemake.input.comparison, "comparison")
    templates, number = snakemake.input.template, snakemake.wildcards.n
    if number:
        rows = [row for row in rows if row["table"] == int(number)]
        tex = comparison_tables.comparison_tex(rows, int(number), templates)
        made = comparison_tables.comparison_csv(rows), comparison_tables.comparison_md(rows, int(number))
    else:
        tex = comparison_summary.summary_tex(rows, templates)
        made = comparison_summary.summary_csv(rows), comparison_summary.summary_md(rows)
    made_by = parquet.read_provenance(snakemake.input.comparison)["runs"]
    write_table(snakemake.output, tex, *made, face(made_by.values()))
