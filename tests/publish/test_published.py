"""What is published in docs/results: whole, and the source of the numbers that pages quote."""

import json
import re
from pathlib import Path

import pytest
from configurations import REPOSITORY
from rocrate.rocrate import ROCrate

from reedit.publish.publication import CELLS, CONFIG, CRATE, PROVENANCE
from reedit.report.words import method_of, share
from reedit.settings.experiment import Experiment
from reedit.settings.overlays import read_configuration
from reedit.storage import parquet
from reedit.storage.files import file_sha256, visible_tree

PUBLISHED = sorted(path.parent for path in (REPOSITORY / "docs/results").glob(f"*/{PROVENANCE}"))
PAGES = ("README.md",)
# <!-- default/tables/table1.md --> above lines: they stand there, in that order, however they are spaced
COPIED = re.compile(r"<!-- (\S+/tables/\S+\.md) -->\n\n?((?:[|-] .*\n(?:  .*\n)*)+)")
# <!-- default smollm2-135m/worldfacts --> above a table: its lines are cells of docs/results/default
QUOTED = re.compile(r"<!-- (\S+) (\S+)/(\S+) -->\n((?:\|.*\n)+)")


@pytest.mark.parametrize("folder", PUBLISHED, ids=lambda folder: folder.name)
def test_a_published_folder_is_whole(folder: Path) -> None:
    told = json.loads((folder / PROVENANCE).read_text(encoding="utf-8"))
    there = {path.relative_to(folder).as_posix(): file_sha256(path) for path in visible_tree(folder)}
    assert {name: there[name] for name in there.keys() - {PROVENANCE, CRATE}} == told["files"]
    assert {entity.id for entity in ROCrate(folder).data_entities} == set(told["files"])
    runs = Experiment(read_configuration([folder / CONFIG]), REPOSITORY).runs
    assert set(runs) == set(told["runs"]), "the configuration is that of the runs"
    shown = {(row["model"], row["dataset"], row["method"]) for row in parquet.read(folder / CELLS, "table")}
    assert {path.rpartition("/")[0] for path in runs} <= {"/".join(one) for one in shown}


def test_something_is_published_and_listed() -> None:
    index = (REPOSITORY / "docs/results/README.md").read_text(encoding="utf-8")
    assert PUBLISHED and all(f"| [{folder.name}]({folder.name}/" in index for folder in PUBLISHED)


def copied() -> list[tuple[str, str, str]]:
    """By page what it copies of which published table."""
    pages = [REPOSITORY / "README.md", *sorted((REPOSITORY / "docs").rglob("*.md"))]
    return [
        (page.relative_to(REPOSITORY).as_posix(), *found)
        for page in pages
        for found in COPIED.findall(page.read_text(encoding="utf-8"))
    ]


@pytest.mark.parametrize(("page", "table", "lines"), copied())
def test_lines_that_a_page_copies_are_published(page: str, table: str, lines: str) -> None:
    published = iter(_lines((REPOSITORY / "docs/results" / table).read_text(encoding="utf-8")))
    missing = [line for line in _lines(lines) if line not in published]
    assert not missing, f"{page}: not in {table}, or not in this order: {missing[0]}"


def _lines(text: str) -> list[str]:
    """Each line of a table, each point of a list: without the widths of columns, and unwrapped."""
    joined = re.sub(r"\n  +", " ", text)
    return [re.sub(r" +", " ", re.sub(r"-{2,}", "--", line)).strip() for line in joined.splitlines() if line]


@pytest.mark.parametrize("page", PAGES)
def test_numbers_that_a_page_quotes_are_published(page: str) -> None:
    quotations = QUOTED.findall((REPOSITORY / page).read_text(encoding="utf-8"))
    assert quotations
    for name, model, dataset, table in quotations:
        folder = REPOSITORY / "docs/results" / name
        labels = read_configuration([folder / CONFIG])["report"]["labels"]
        cells = {
            (method_of(row["method"], labels), str(row["k"]), row["measure"]): share(row["mean"])
            for row in parquet.read(folder / CELLS, "table")
            if (row["model"], row["dataset"]) == (model, dataset)
        }
        head, _, *lines = [
            [cell.strip() for cell in line.strip("|").split("|")] for line in table.splitlines()
        ]
        assert head[1] == "k" and lines
        for method, k, *numbers in lines:
            expected = [cells[method, k, f"{measure}_accuracy"] for measure in head[2:]]
            assert numbers == expected, f"{page}: {method} at k = {k}"
