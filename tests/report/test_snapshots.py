"""Every printed table of one made-up experiment is what tests/golden/tables/ holds.

REWRITE_SNAPSHOTS=1 pytest tests/report/test_snapshots.py writes them anew; `git diff` then shows what a
change of results or of layout does to a reader. KEEP_TABLES=folder keeps the .tex and .csv as well.
"""

import os
from pathlib import Path

import pytest
from made_tables import made_summaries
from printed_tables import printed, printed_tracing

GOLDEN = Path(__file__).parents[1] / "golden/tables"
NAMES = [*(f"table{number}" for number in range(1, 11)), "differences", "generation", "norms", "eligible"]
NAMES += ["downstream", "comparison", *(f"comparison{number}" for number in (1, 2, 3, 4, 6, 7, 8, 9, 10))]
NAMES += ["tracing"]


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


@pytest.mark.parametrize("name", NAMES)
def test_a_table_is_printed_as_before(name, made):
    texts = {"md": printed_tracing()} if name == "tracing" else printed(name, *made_of(name, made))
    if folder := os.environ.get("KEEP_TABLES"):
        for end, text in texts.items():
            (Path(folder) / f"{name}.{end}").write_text(text, encoding="utf-8")
    held(name, texts["md"])


def made_of(name, made):
    return made["comparison" if name.startswith("comparison") else name]


def test_tables_without_rows_say_so(made):
    """All in one snapshot, the .tex as well: what a document says, or leaves out, without results."""
    nothing = {"runs": {}, "unmet": [], "partly": []}
    texts = []
    for name in NAMES:
        if name not in ("tracing", "eligible", "downstream"):
            found = printed(name, [], nothing)
            texts.append(f"## {name}\n\n{found['md']}\n")
    held("without-rows", "\n".join(texts))


def test_there_is_no_snapshot_of_a_table_that_is_no_more():
    assert {path.stem for path in GOLDEN.iterdir()} == {*NAMES, "without-rows"}
