"""One figure, as PDF for the document and PNG for the report."""

from typing import TYPE_CHECKING

from reedit.jobs.job import job
from reedit.report import (
    case_figures,
    example_figure,
    figures,
    norm_figure,
    retention_figure,
    tradeoff_figure,
)
from reedit.storage import parquet

if TYPE_CHECKING:
    from snakemake.iocontainers import snakemake

with job(snakemake.log[0]):
    inputs, settings = snakemake.input, snakemake.params.settings
    runs, cases = parquet.read(inputs.runs, "runs"), parquet.read_table(inputs.cases, "cases")
    norms = parquet.read(inputs.norms, "norm_summary") if inputs.get("norms") else []  # may be switched off
    draw, data = {
        "perplexity": (figures.perplexity, [runs]),
        "scores": (figures.scores, [runs]),
        "example": (example_figure.example, [parquet.read(inputs.example, "example")]),
        "underedit": (case_figures.underedit, [runs, cases]),
        "tradeoff": (tradeoff_figure.tradeoff, [runs, cases, settings["seed"]]),
        "retention": (retention_figure.retention, [runs, cases, retention_figure.places(settings["splits"])]),
        "distribution": (case_figures.distribution, [runs, cases]),
        "norms": (norm_figure.norms, [norms]),
    }[snakemake.wildcards.figure]
    draw(*data, snakemake.output.pdf, snakemake.output.png, settings["labels"])
