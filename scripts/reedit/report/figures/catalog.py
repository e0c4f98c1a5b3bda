"""Every figure by its name in results/figures: which function draws it, of the rows of which files.

The files are the inputs of rule draw_figure by their names there, and so are the settings.
"""

from collections.abc import Callable, Mapping
from typing import Any

import pyarrow as pa
from matplotlib.figure import Figure

from reedit.report.figures.along import along
from reedit.report.figures.courses import norms, perplexity, scores
from reedit.report.figures.differences import differences
from reedit.report.figures.distribution import distribution
from reedit.report.figures.drawing import Rows
from reedit.report.figures.example import example
from reedit.report.figures.retention import batches, retention
from reedit.report.figures.tradeoff import tradeoff
from reedit.report.figures.underedit import underedit
from reedit.storage import parquet


def _runs(files: Any) -> Rows:
    return parquet.read(files.runs, "runs")


def _cases(files: Any) -> pa.Table:
    return parquet.read_table(files.cases, "cases")


def _made_by(files: Any) -> Mapping[str, Mapping[str, Any]]:
    return parquet.read_provenance(files.runs)["runs"]


FIGURES: Mapping[str, Callable[[Any, Mapping[str, Any]], Figure]] = {
    "perplexity": lambda files, given: perplexity(_runs(files), given["labels"]),
    "scores": lambda files, given: scores(_runs(files), given["labels"]),
    "norms": lambda files, given: norms(parquet.read(files.norms, "norm_summary"), given["labels"]),
    "example": lambda files, given: example(parquet.read(files.example, "example"), given["labels"]),
    "underedit": lambda files, given: underedit(_runs(files), _cases(files), given["labels"]),
    "distribution": lambda files, given: distribution(_runs(files), _cases(files), given["labels"]),
    "tradeoff": lambda files, given: tradeoff(_runs(files), _cases(files), given["seed"], given["labels"]),
    "differences": lambda files, given: differences(
        parquet.read(files.differences, "differences"), given["labels"]
    ),
    "along": lambda files, given: along(parquet.read(files.along, "along"), given["labels"]),
    "retention": lambda files, given: retention(
        _runs(files), _cases(files), batches(given["splits"], _made_by(files)), given["labels"]
    ),
}
