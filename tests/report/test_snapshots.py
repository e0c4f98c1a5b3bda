"""Every printed table of one made-up experiment is what tests/golden/tables/ holds.

REWRITE_SNAPSHOTS=1 pytest tests/report/test_snapshots.py writes them anew; `git diff` then shows what a
change of results or of layout does to a reader. KEEP_TABLES=folder keeps the .tex and .csv as well.
"""

import os
from pathlib import Path

import pytest
from made_tables import LABELS, made_summaries, tracing
from printed_tables import printed

from reedit.report.rows.tracing import effects
from reedit.report.tables.catalog import TABLES
from reedit.report.tables.tracing import markdown

GOLDEN = Path(__file__).parents[1] / "golden/tables"
NAMES = [*TABLES, "tracing"]
NOTHING = {"runs": {}, "unmet": [], "partly": []}
TRACED = {"model_revision": "sha256:0123", "seed": 7, "samples": 1, "noise": 3}


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    return made_summaries(tmp_path_factory.mktemp("made"))


def held(name: str, text: str) -> None:
    """The text is the snapshot of this name, which REWRITE_SNAPSHOTS replaces."""
    path = GOLDEN / f"{name}.md"
    if os.environ.get("REWRITE_SNAPSHOTS"):
        path.parent.mkdir(exist_ok=True)
        path.write_text(text, encoding="utf-8")
    assert text == path.read_text(encoding="utf-8")


@pytest.mark.parametrize("name", TABLES)
def test_a_table_is_printed_as_before(name, made):
    rows, made_by = made[TABLES[name].summary or name]
    notes = TABLES[name].produced_by(made_by, LABELS)
    texts = printed(name, rows, notes, LABELS, intervals=name in ("table1", "table2"))
    if folder := os.environ.get("KEEP_TABLES"):
        for end, text in texts._asdict().items():
            (Path(folder) / f"{name}.{end}").write_text(text, encoding="utf-8")
    held(name, texts.md)


def test_tracing_is_printed_as_before():
    held("tracing", markdown(effects(tracing()), "small / facts", TRACED))


def test_tables_without_rows_say_so():
    """All in one snapshot."""
    names = [
        name for name in TABLES if name not in ("eligible", "downstream")
    ]  # nobody asks for those in vain
    held(
        "without-rows",
        "\n".join(
            f"## {name}\n\n{printed(name, [], TABLES[name].produced_by(NOTHING, {})).md}\n" for name in names
        ),
    )


def test_there_is_no_snapshot_of_a_table_that_is_no_more():
    assert {path.stem for path in GOLDEN.iterdir()} == {*NAMES, "without-rows"}
