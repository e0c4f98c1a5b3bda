"""The files that tell what tuning found: the values, a page and a figure."""

from pathlib import Path

from reedit.report.figures.drawing import save
from reedit.report.figures.tuning import tuning
from reedit.report.rows.tuning import Tuned, read_tuning
from reedit.report.tables.tuning import hyperparameters_file, markdown
from reedit.storage.files import write_text


def write_tuning(rows: Path, model: str, title: str) -> Tuned:
    """Beside `rows`, a table of the schema ``tuning``: .yaml, which names the `model`, .md, .pdf and .png."""
    found = read_tuning(rows)
    write_text(rows.with_suffix(".yaml"), hyperparameters_file(found, model))
    write_text(rows.with_suffix(".md"), markdown(found, title))
    save(tuning(found, title), rows.with_suffix(".pdf"), rows.with_suffix(".png"))
    return found
