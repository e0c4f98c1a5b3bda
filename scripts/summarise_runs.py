"""Every run's scores, perplexities and iterations to one table of runs, and to the rows of each table."""

from typing import TYPE_CHECKING

from reedit.jobs.job import job
from reedit.report.rows.hardware import hardware_rows
from reedit.report.rows.lines import key_of, methods_of, never_stopped, partly_stopped, run_path
from reedit.report.rows.runs import Samples, run_provenance, run_rows, table_rows
from reedit.report.tables.paper import HARDWARE, NUMBERS, TABLES
from reedit.storage import parquet

if TYPE_CHECKING:
    from snakemake.iocontainers import snakemake

with job(snakemake.log[0]) as log:
    inputs, outputs, settings = snakemake.input, snakemake.output, snakemake.params.settings
    rows, scores, made_by = [], {}, {}
    for run, score, collapse, iterations in zip(
        settings["runs"], inputs.scores, inputs.collapse, inputs.iterations, strict=True
    ):
        key = key_of(run)
        made_by[run_path(key)] = found = run_provenance(score, collapse, iterations)
        rows += run_rows(run, score, collapse, iterations, found["edits"])
        scores[key] = score
    log.info("%d runs, %d models judged", len(scores), len(rows))
    parquet.write(rows, outputs.runs, "runs", {"runs": made_by})
    methods, samples = methods_of(rows), Samples(scores, settings["seed"])
    for number, path in zip(NUMBERS, outputs.tables, strict=True):
        if number == HARDWARE:
            pairs = zip(settings["runs"], inputs.iterations, strict=True)
            parquet.write(hardware_rows(list(pairs)), path, "hardware", {"runs": made_by})
            continue
        lines = table_rows(TABLES[number].lines(methods), samples)
        shown = {"{model}/{dataset}/{method}".format(**row) for row in lines}
        own = {run: found for run, found in made_by.items() if run.rpartition("/")[0] in shown}
        told = methods if TABLES[number].side_by_side else []
        unmet, partly = ([m.path for m in found(told)] for found in (never_stopped, partly_stopped))
        parquet.write(lines, path, "table", {"runs": own, "unmet": unmet, "partly": partly})
