"""Every run's teacher-forced scores beside its generated answers, to the rows of one table."""

from typing import TYPE_CHECKING

from reedit.jobs.job import job
from reedit.report.rows.generation import AnswerFiles, generation_rows
from reedit.storage import parquet

if TYPE_CHECKING:
    from snakemake.iocontainers import snakemake

with job(snakemake.log[0]) as log:
    inputs, settings = snakemake.input, snakemake.params.settings
    files = {
        (run["model"], run["dataset"], run["method"], run["trial"]): AnswerFiles(scores, generations)
        for run, scores, generations in zip(settings["runs"], inputs.scores, inputs.generations, strict=True)
    }
    rows = generation_rows(parquet.read(inputs.runs, "runs"), files, settings["seed"])
    log.info("%d runs, %d lines", len(files), len({row["row"] for row in rows}))
    made_by = parquet.read_provenance(inputs.runs)
    parquet.write(rows, snakemake.output.generation, "table", made_by)
