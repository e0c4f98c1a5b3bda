"""What a table says of itself on its face, in all three formats: nothing, unless its models are stand-ins."""

import csv
import io
from collections.abc import Iterable, Mapping
from typing import Any

from reedit.report.latex.document import says_something
from reedit.report.latex.typeset import escape
from reedit.storage.files import write_text
from reedit.storage.provenance import is_stand_in

REHEARSAL = "A rehearsal: models are stand-ins with random weights, and no number here is a result."
# room for a table's head under the sentence, by the document's macro (document.tex.j2)
KEEP = "\\providecommand{\\keeptogether}[1]{}\\keeptogether{18}\n"


def face(made_by: Iterable[Mapping[str, Any]]) -> str:
    """The sentence that a table has to begin with, from the provenance of all that it shows; mostly none."""
    return REHEARSAL if any(is_stand_in(one["model_revision"]) for one in made_by) else ""


def write_table(output: Any, tex: str, csv_text: str, md: str, sentence: str = "") -> None:
    """Write a table as `output`.tex, .csv and .md; a sentence stands above it, in .csv in a column."""
    if sentence:
        if says_something(tex):
            tex = f"{KEEP}{{\\bfseries {escape(sentence)}\\par\\nobreak}}\n{tex}"
        csv_text, md = _with_column(csv_text, sentence), f"**{sentence}**\n\n{md}"
    for text, path in [(tex, output.tex), (csv_text, output.csv), (md, output.md)]:
        write_text(path, text)


def _with_column(text: str, sentence: str) -> str:
    head, *rows = csv.reader(io.StringIO(text))
    out = io.StringIO()
    csv.writer(out, lineterminator="\n").writerows(
        [["rehearsal", *head], *([sentence, *row] for row in rows)]
    )
    return out.getvalue()
