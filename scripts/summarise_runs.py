"""Every run's scores, perplexities and iterations to one table of runs, and to the rows of Tables 1 and 2."""

from typing import TYPE_CHECKING

from reedit import parquet
from reedit.job import job
from reedit.summary import assisted_rows, iterative_rows, run_rows

if TYPE_CHECKING:
    from snakemake.iocontainers import snakemake

with job(snakemake.log[0]) as log:
    inputs, outputs, settings = snakemake.input, snakemake.output, snakemake.params.settings
    rows, scores, made_by = [], {}, {}
    for run, score, collapse, iterations in zip(
        settings["runs"], inputs.scores, inputs.collapse, inputs.iterations, strict=True
    ):
        key = run["model"], run["dataset"], run["method"], run["trial"]
        found = parquet.read_provenance(iterations) | {"texts": parquet.read_provenance(collapse)["texts"]}
        made_by["{}/{}/{}/trial{}".format(*key)] = found
        rows += run_rows(run, score, collapse, iterations, run["protocol"], found["edits"])
        scores[key] = score
    log.info("%d runs, %d models judged", len(scores), len(rows))
    parquet.write(rows, outputs.runs, "runs", {"runs": made_by})
    for make, path in [(iterative_rows, outputs.table1), (assisted_rows, outputs.table2)]:
        table = make(rows, scores, settings["seed"])
        shown = {"{model}/{dataset}/{method}".format(**row) for row in table}
        own = {run: found for run, found in made_by.items() if run.rpartition("/")[0] in shown}
        parquet.write(table, path, "table", {"runs": own})
