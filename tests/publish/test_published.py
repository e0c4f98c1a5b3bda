"""What is published in docs/results: whole, and the source of the numbers that pages quote."""

import csv
import json
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from configurations import REPOSITORY
from rocrate.rocrate import ROCrate

from reedit.publish.folder import CELLS, CONFIG, CRATE, PROVENANCE
from reedit.report.words import method_of, share
from reedit.settings.experiment import Experiment
from reedit.settings.overlays import read_configuration
from reedit.storage import parquet
from reedit.storage.files import file_sha256, visible_tree

PUBLISHED = sorted(path.parent for path in (REPOSITORY / "docs/results").glob(f"*/{PROVENANCE}"))
PAGES = ("README.md",)
# <!-- in-use/tables/generation.csv --> above lines: their intervals are of that file of docs/results
SOURCED = re.compile(r"<!-- (\S+/tables/\S+\.csv) -->\n\n?((?:.+\n)+)")
INTERVAL = re.compile(r"([+-]?[\d.]+) \[([-\d.]+), ([-\d.]+)\]")
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
    index = (REPOSITORY / "docs/published.md").read_text(encoding="utf-8")
    assert PUBLISHED and all(f"| [{folder.name}](results/{folder.name}/" in index for folder in PUBLISHED)


def sourced() -> list[tuple[str, str, str]]:
    """The lines of pages that say which published table their intervals are of: page, table, lines."""
    pages = [REPOSITORY / "README.md", *sorted((REPOSITORY / "docs").rglob("*.md"))]
    return [
        (page.relative_to(REPOSITORY).as_posix(), *found)
        for page in pages
        for found in SOURCED.findall(page.read_text(encoding="utf-8"))
    ]


def test_every_table_that_names_its_source_is_held_to_it() -> None:
    pages = (REPOSITORY / "docs").rglob("*.md")
    named = sum(path.read_text(encoding="utf-8").count(".csv -->") for path in pages)
    assert named == len(sourced()) > 0


@pytest.mark.parametrize(("page", "table", "lines"), sourced())
def test_intervals_that_a_page_quotes_are_published(page: str, table: str, lines: str) -> None:
    with open(REPOSITORY / "docs/results" / table, encoding="utf-8", newline="") as file:
        published = {numbers for row in csv.DictReader(file) for numbers in _intervals(row)}
    quoted = [(mean.lstrip("+"), *ends) for mean, *ends in INTERVAL.findall(lines.replace("*", ""))]
    assert quoted and not (strange := [one for one in quoted if one not in published]), f"{page}: {strange}"


def _intervals(row: dict[str, str]) -> Iterator[tuple[str, ...]]:
    """The mean and the ends of every interval of a row, in percent as they are printed."""
    for low in [name for name in row if name.endswith("low") and row[name]]:
        name = low.removesuffix("low")
        mean, *ends = (float(row[of]) for of in (name.removesuffix("_") or "mean", low, f"{name}high"))
        yield share(mean), *(share(end) for end in ends)


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
