"""Facts written down by hand: what may stand there, and one line for what may not."""

import json
from pathlib import Path
from typing import Any

import pytest

from reedit.errors import InputError
from reedit.prepare.datasets import load_facts
from reedit.prepare.facts import NO_ANSWER, Fact, Neighbor

SHORT = {"prompt": "{} is produced by", "subject": "iPad", "target_new": "Honda"}
LONG = SHORT | {
    "target_true": "Apple",
    "paraphrases": ["The maker of the {} is", "Who made it? It was"],
    "neighbors": [{"prompt": "{} comes from", "subject": "MacBook", "object": "Apple"}],
}


def written(folder: Path, value: Any) -> Path:
    path = folder / "facts.json"
    path.write_text(json.dumps(value))
    return path


def test_a_fact_needs_no_more_than_prompt_subject_and_target(tmp_path: Path) -> None:
    assert list(load_facts(written(tmp_path, [SHORT, LONG])).facts) == [
        Fact(0, "", "iPad", "{} is produced by", "Honda", NO_ANSWER, (), ()),
        Fact(
            *(1, "", "iPad", "{} is produced by", "Honda", "Apple"),
            ("The maker of the iPad is", "Who made it? It was"),
            (Neighbor.of("{} comes from", "MacBook", "Apple"),),
        ),
    ]


@pytest.mark.parametrize(
    ("value", "told"),
    [
        ([SHORT | {"tagret_true": "Apple"}], "case 0: unknown key 'tagret_true' (did you mean target_true?)"),
        ([SHORT, {"prompt": "{} is"}], "case 1: lacks the field subject, expected str"),
        (
            [SHORT | {"prompt": "It is by"}],
            "case 0: field prompt: expected exactly one {} for the subject, found 'It is by'",
        ),
        (
            [SHORT | {"prompt": "{} and {}"}],
            "case 0: field prompt: expected exactly one {} for the subject, found '{} and {}'",
        ),
        ([SHORT | {"target_new": " "}], "case 0: field target_new is empty"),
        ([SHORT | {"target_true": 3}], "case 0: field target_true: expected str, found int"),
        ([SHORT | {"paraphrases": "one"}], "case 0: field paraphrases: expected list, found str"),
        ([SHORT | {"paraphrases": [""]}], "field paraphrases: expected a list of non-empty strings"),
        ([SHORT | {"neighbors": ["MacBook"]}], "case 0: neighbor 0: expected an object, found str"),
        ([SHORT | {"neighbors": [{"target": "a"}]}], "case 0: neighbor 0: unknown key 'target'"),
        ([SHORT | {"neighbors": [{"prompt": "{}"}]}], "case 0: neighbor 0: lacks the field subject"),
        ([], "holds no case, expected at least one"),
        (SHORT, "expected a JSON list, found dict"),
        (["iPad"], "case 0: expected an object, found str"),
    ],
    ids=lambda value: None if isinstance(value, list | dict) else value[:40],
)
def test_what_is_wrong_is_one_line_with_the_file_the_case_and_the_key(
    value: Any, told: str, tmp_path: Path
) -> None:
    path = written(tmp_path, value)
    with pytest.raises(InputError) as caught:
        load_facts(path)
    assert str(caught.value).startswith(f"{path}: ") and told in str(caught.value)
