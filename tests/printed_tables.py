"""A table's texts from its rows, as the workflow's script makes them."""

from configurations import REPOSITORY

from reedit.report.tables.catalog import TABLES
from reedit.report.tables.render import Texts, texts
from reedit.report.tables.sheet import Style

TEMPLATES = [REPOSITORY / "reports/templates" / name for name in ("table.tex.j2", "document.tex.j2")]


def printed(name, rows, notes=(), labels=None, intervals=False) -> Texts:
    """The table of this name in results/tables."""
    return texts(TABLES[name], rows, notes, TEMPLATES, Style(labels or {}, intervals))
