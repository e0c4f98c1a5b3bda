"""Every run's scores, perplexities and iterations to one table of runs, and to the rows of each table."""

from typing import TYPE_CHECKING

from reedit.jobs.job import job
from reedit.report.rows.hardware import hardware_rows
from reedit.report.rows.lines import methods_of, never_stopped, partly_stopped
from reedit.report.rows.runs import RunFiles, Samples, gather, table_rows
from reedit.report.tables.paper import HARDWARE, NUMBERS, TABLES
from reedit.storage import parquet

if TYPE_CHECKING:
    from snakemake.iocontainers import snakemake

with job(snakemake.log[0]) as log:
    inputs, outputs, settings = snakemake.input, snakemake.output, snakemake.params.settings
    files = map(RunFiles, inputs.scores, inputs.collapse, inputs.iterations)
    found = gather(settings["runs"], list(files))
    log.info("%d runs, %d models judged", len(found.scores), len(found.rows))
    parquet.write(found.rows, outputs.runs, "runs", {"runs": found.made_by})
    methods, samples = methods_of(found.rows), Samples(found.scores, settings["seed"])
    for number, path in zip(NUMBERS, outputs.tables, strict=True):
        if number == HARDWARE:
            pairs = zip(settings["runs"], inputs.iterations, strict=True)
            parquet.write(hardware_rows(list(pairs)), path, "hardware", {"runs": found.made_by})
            continue
        lines = table_rows(TABLES[number].lines(methods), samples)
        shown = {"{model}/{dataset}/{method}".format(**row) for row in lines}
        own = {run: made for run, made in found.made_by.items() if run.rpartition("/")[0] in shown}
        told = methods if TABLES[number].side_by_side else []
        unmet, partly = ([m.path for m in some(told)] for some in (never_stopped, partly_stopped))
        parquet.write(lines, path, "table", {"runs": own, "unmet": unmet, "partly": partly})
