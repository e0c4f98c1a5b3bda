"""Texts as they come: what is trimmed at the door, whatever the format, and which form a file has."""

import json
from pathlib import Path
from typing import Any

import pytest
from tiny import tiny_facts

from reedit.errors import InputError
from reedit.prepare.cases import tidy, tidy_prompt
from reedit.prepare.datasets import load_dataset, load_facts

QUESTION = {
    "subject": "Kyoto", "src": "Where is Kyoto?", "answers": ["Italy"],
    "rephrase": "Which country has Kyoto?", "loc": "nq question: who sings", "loc_ans": "Ida Haendel",
}  # fmt: skip
ELIGIBLE = {
    "case_id": 1, "subject": "Kyoto", "prompt": "Kyoto is in", "target_new": "Italy", "ground_truth": "Japan",
    "rephrase_prompt": ["Who lives in Kyoto lives in"],
    "locality": {"neighborhood": {"prompt": ["Osaka is in"], "ground_truth": ["Japan"]}},
    "neighborhood_samples": [{"prompt": "{} is in", "subject": "Nara"}],
}  # fmt: skip
BY_HAND = {
    "subject": "Kyoto", "prompt": "{} is in", "target_new": "Italy", "target_true": "Japan",
    "paraphrases": ["Who lives in {} lives in"],
    "neighbors": [{"prompt": "{} is in", "subject": "Nara", "object": "Japan"}],
}  # fmt: skip
CASES = {"counterfact": tiny_facts()[0], "eligible": ELIGIBLE, "zsre": QUESTION, "simple": BY_HAND}


def written(folder: Path, value: Any) -> Path:
    path = folder / "facts.json"
    path.write_text(json.dumps(value))
    return path


def spoiled(value: Any, around: str) -> Any:
    """Every text inside a value with something around it."""
    if isinstance(value, dict):
        return {key: spoiled(found, around) for key, found in value.items()}
    if isinstance(value, list):
        return [spoiled(found, around) for found in value]
    return f"{around}{value}{around}" if isinstance(value, str) else value


@pytest.mark.parametrize("form", CASES)
@pytest.mark.parametrize("around", [" ", "\n", "\u200b ", "\ufeff", "\u00a0\t", " \u2060\n"])
def test_what_stands_around_a_text_is_not_part_of_it(form: str, around: str, tmp_path: Path) -> None:
    clean = load_facts(written(tmp_path, [CASES[form]])).facts
    assert load_facts(written(tmp_path, [spoiled(CASES[form], around)])).facts == clean


def test_a_subject_in_other_code_points_is_found_in_its_question(tmp_path: Path) -> None:
    decomposed = "Sa\u0303o Tome\u0301"
    case = QUESTION | {"subject": decomposed, "src": "Where is São Tomé?"}
    (fact,) = load_dataset("zsre", [written(tmp_path, [case])]).facts
    assert (fact.prompt, fact.subject) == ("Where is {}?", "São Tomé")


@pytest.mark.parametrize("question", ["who sings", "who sings?", "who sings? ?", "who sings??"])
def test_a_question_ends_in_one_question_mark(question: str, tmp_path: Path) -> None:
    (fact,) = load_dataset("zsre", [written(tmp_path, [QUESTION | {"loc": question}])]).facts
    assert fact.neighbors[0].prompt == "who sings?"


def test_inside_a_text_nothing_changes() -> None:
    assert tidy_prompt(" Who?  And {}, he said: why?! ") == "Who?  And {}, he said: why?!"
    assert tidy(" Who Wants to Be??") == "Who Wants to Be??"  # a title keeps its marks


def test_cases_that_cannot_be_read_are_named_all_at_once_or_left_out(tmp_path: Path) -> None:
    """As a subject that is not in its question, or is in it twice."""
    cases = [
        QUESTION,
        QUESTION | {"subject": "Osaka"},
        QUESTION | {"src": "Is Kyoto in Kyoto?"},
        QUESTION | {"answers": []},
        {"subject": "Kyoto"},
    ]
    path = written(tmp_path, cases)
    with pytest.raises(InputError) as caught:
        load_dataset("zsre", [path])
    line = str(caught.value)
    assert line.startswith("4 of 5 cases cannot be read; malformed: drop leaves such cases out: ")
    assert "case 1: field src: expected the subject 'Osaka' once" in line and "case 2: field src" in line
    assert line.endswith("; and 1 more, each with a line above") and "\n" not in line
    dataset = load_dataset("zsre", [path], "drop")
    assert [fact.case_id for fact in dataset.facts] == [0] and dataset.sizes == (1,)
    assert len(dataset.malformed) == 4
    with pytest.raises(InputError, match="case 0: field src: expected the subject"):
        load_dataset("zsre", [written(tmp_path, cases[1:2])], "drop")


def test_a_case_id_that_is_left_out_leaves_its_place(tmp_path: Path) -> None:
    """In ZsRE a case_id is a position, which other cases keep."""
    path = written(tmp_path, [QUESTION | {"answers": []}, QUESTION])
    assert [fact.case_id for fact in load_dataset("zsre", [path], "drop").facts] == [1]


OTHERS = {
    "MQuAKE": {"case_id": 1, "requested_rewrite": [{"prompt": "{} is in"}], "questions": ["Who?"]},
    "RippleEdits": {"example_type": "popular", "edit": {"prompt": "The mother of A is B."}},
    "KnowEdit (WikiBio)": {"text": "A is B.", "labels": "C", "concept": "A"},
    "QAEdit": {
        "prompt": "who?",
        "target": "A",
        "subject": "B",
        "rephrase": "Who?",
        "locality": [{"loc": "x"}],
    },
    "EasyEdit": {"case_id": 1, "prompt": "A is", "target_new": "B", "locality_prompt": "C is"},
    "KnowEdit": {"subject": "A", "prompt": "A is", "target_new": "B", "portability": {}, "locality": {}},
}


@pytest.mark.parametrize("name", OTHERS)
def test_another_form_than_was_asked_for_is_told_by_its_name(name: str, tmp_path: Path) -> None:
    path = written(tmp_path, [OTHERS[name]] * 3)
    with pytest.raises(InputError) as caught:
        load_dataset("counterfact", [path])
    assert f"{path}: is in the form of {name}," in str(caught.value)


@pytest.mark.parametrize(
    ("asked", "form"), [("zsre", "counterfact"), ("counterfact", "zsre"), ("zsre", "simple")]
)
def test_a_format_that_is_not_the_files_is_told(asked: str, form: str, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=rf"is in the form of .*, expected format: {asked}"):
        load_dataset(asked, [written(tmp_path, [CASES[form]])])


def test_a_broken_case_is_told_by_its_field_and_not_taken_for_another_form(tmp_path: Path) -> None:
    broken = {key: value for key, value in ELIGIBLE.items() if key != "locality"} | {
        "case_id": 2,
        "portability": {},
    }
    with pytest.raises(InputError, match=r"case 1 \(case_id 2\): lacks the field locality"):
        load_dataset("counterfact", [written(tmp_path, [ELIGIBLE, broken])])


def test_a_value_a_line_is_told(tmp_path: Path) -> None:
    path = tmp_path / "facts.json"
    path.write_text("\n".join(json.dumps(QUESTION) for _ in range(3)))
    with pytest.raises(InputError, match="holds a JSON value a line, expected one JSON list"):
        load_facts(path)
