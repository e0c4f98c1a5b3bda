"""report/ is a house of floors: nothing imports upward, and rows know nothing of how they are printed."""

import re

import pytest
from configurations import REPOSITORY

REPORT = REPOSITORY / "scripts/reedit/report"
BELOW = {  # what each part may import of report/
    "words": set(),
    "rows": {"words"},
    "latex": set(),
    "tables": {"words", "rows", "latex"},
    "figures": {"words", "rows", "tables"},
    "page": {"words", "rows", "tables"},
    "contents": {"tables"},
    "tuning_files": {"rows", "tables", "figures"},
}


@pytest.mark.parametrize("part", BELOW)
def test_a_part_imports_only_what_is_below_it(part):
    paths = (
        [REPORT / f"{part}.py"] if (REPORT / f"{part}.py").is_file() else list((REPORT / part).glob("*.py"))
    )
    texts = [path.read_text(encoding="utf-8") for path in paths]
    found = {name for text in texts for name in re.findall(r"from reedit\.report\.(\w+)", text)}
    assert texts and found - {part} <= BELOW[part]


def test_every_part_has_its_floor():
    parts = {path.stem for path in REPORT.iterdir() if not path.name.startswith("__")}
    assert parts == BELOW.keys()
