"""One figure, as PDF for the document and PNG for the report."""

from typing import TYPE_CHECKING

from reedit.jobs.job import job
from reedit.report.figures import courses, example, norms, retention, tradeoff, underedit
from reedit.storage import parquet

if TYPE_CHECKING:
    from snakemake.iocontainers import snakemake

with job(snakemake.log[0]):
    inputs, settings = snakemake.input, snakemake.params.settings
    runs, cases = parquet.read(inputs.runs, "runs"), parquet.read_table(inputs.cases, "cases")
    read_norms = (
        parquet.read(inputs.norms, "norm_summary") if inputs.get("norms") else []
    )  # may be switched off
    draw, data = {
        "perplexity": (courses.perplexity, [runs]),
        "scores": (courses.scores, [runs]),
        "example": (example.example, [parquet.read(inputs.example, "example")]),
        "underedit": (underedit.underedit, [runs, cases]),
        "tradeoff": (tradeoff.tradeoff, [runs, cases, settings["seed"]]),
        "retention": (retention.retention, [runs, cases, retention.places(settings["splits"])]),
        "distribution": (underedit.distribution, [runs, cases]),
        "norms": (norms.norms, [read_norms]),
    }[snakemake.wildcards.figure]
    draw(*data, snakemake.output.pdf, snakemake.output.png, settings["labels"])
