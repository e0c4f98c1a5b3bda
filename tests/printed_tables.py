"""A table's texts from its rows and their provenance, as the workflow's scripts make them."""

from configurations import REPOSITORY
from made_tables import LABELS, tracing

from reedit.report.figures.tracing import effects, markdown
from reedit.report.tables import comparison as comparison_tables
from reedit.report.tables import comparison_summary, downstream, eligible
from reedit.report.tables.catalog import SUMMARIES
from reedit.report.tables.hardware import hardware_csv, hardware_md, hardware_tex
from reedit.report.tables.notes import PARTLY, provenance_notes, unmet_note
from reedit.report.tables.paper_sheet import table_csv, table_md, table_tex

TEMPLATES = [REPOSITORY / "reports/templates/macros.tex.j2"]


def printed(name, rows, made_by):
    if name.startswith("comparison"):
        number = name.removeprefix("comparison")
        if not number:
            return {
                "tex": comparison_summary.summary_tex(rows, TEMPLATES),
                "csv": comparison_summary.summary_csv(rows),
                "md": comparison_summary.summary_md(rows),
            }
        rows = [row for row in rows if row["table"] == int(number)]
        return {
            "tex": comparison_tables.comparison_tex(rows, int(number), TEMPLATES),
            "csv": comparison_tables.comparison_csv(rows),
            "md": comparison_tables.comparison_md(rows, int(number)),
        }
    if name == "eligible":
        return {
            "tex": eligible.eligibility_tex(rows, TEMPLATES, LABELS),
            "csv": eligible.eligibility_csv(rows),
            "md": eligible.eligibility_md(rows, LABELS),
        }
    if name == "downstream":
        told = downstream.notes(list(made_by["runs"].values()))
        return {
            "tex": downstream.downstream_tex(rows, TEMPLATES, told, LABELS),
            "csv": downstream.downstream_csv(rows),
            "md": downstream.downstream_md(rows, told, LABELS),
        }
    notes = provenance_notes(made_by["runs"])
    if name in SUMMARIES:
        table = SUMMARIES[name]
        return {
            "tex": table.tex(rows, TEMPLATES, notes, LABELS),
            "csv": table.csv(rows, LABELS),
            "md": table.md(rows, notes, LABELS),
        }
    number = name.removeprefix("table")
    if number == "5":
        return {
            "tex": hardware_tex(rows, TEMPLATES, notes, LABELS),
            "csv": hardware_csv(rows),
            "md": hardware_md(rows, notes, LABELS),
        }
    notes = unmet_note(made_by["unmet"], LABELS) + unmet_note(made_by["partly"], LABELS, PARTLY) + notes
    return {
        "tex": table_tex(rows, number, TEMPLATES, notes, LABELS, number in ("1", "2")),
        "csv": table_csv(rows, LABELS),
        "md": table_md(rows, number, notes, LABELS),
    }


def printed_tracing():
    made_by = {"model_revision": "sha256:0123", "seed": 7, "samples": 1, "noise": 3}
    return markdown(effects(tracing()), "small / facts", made_by)
