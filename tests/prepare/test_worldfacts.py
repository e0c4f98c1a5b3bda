"""The dataset that ships: what build.py writes, and what follows from its edits."""

import json
import subprocess
import sys
from pathlib import Path

from reedit.prepare.datasets import load_dataset

RESOURCES = Path(__file__).parents[2] / "resources"


def test_the_file_is_what_the_facts_make(tmp_path: Path) -> None:
    made = tmp_path / "made.json"
    subprocess.run([sys.executable, str(RESOURCES / "worldfacts/build.py"), "--out", str(made)], check=True)
    assert made.read_bytes() == (RESOURCES / "worldfacts.json").read_bytes()


def test_what_follows_is_another_answer_than_before_and_has_its_premise() -> None:
    path = RESOURCES / "worldfacts.json"
    cases = {case["case_id"]: case for case in json.loads(path.read_text(encoding="utf-8"))}
    items = load_dataset("counterfact", [path]).items
    assert len({item.case_id for item in items}) >= 200
    for item in items:
        case = cases[item.case_id]
        new = case["requested_rewrite"]["target_new"]["str"]
        (premise,) = item.premises or ()
        assert new in premise.prompt and premise.answers == item.answers
        # a prompt that told the country itself would ask for nothing
        assert new not in item.prompt and case["requested_rewrite"]["subject"] in item.prompt
