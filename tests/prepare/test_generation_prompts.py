"""What models go on from, and reference texts: as the data has them, and what is refused at the door."""

import json
from pathlib import Path
from typing import Any

import pytest
from dataset_entries import QUESTION
from tiny import tiny_facts

from reedit.errors import InputError
from reedit.prepare.datasets import load_dataset, load_facts
from reedit.prepare.facts import (
    GenerationPrompts,
    read_generation_prompts,
    write_facts,
    write_generation_prompts,
)
from reedit.prepare.reference_texts import read_references
from reedit.storage import parquet

ENTRY = {
    "relation_id": "P1",
    "target_id": "Q1",
    "name": "piano",
    "samples": [{"text": "A piano.", "name": "x"}],
}


def written(folder: Path, value: Any) -> Path:
    (folder / "data.json").write_text(json.dumps(value))
    return folder / "data.json"


def asking(**fields: Any) -> list[dict]:
    """Two cases, the second with more fields."""
    cases = tiny_facts()[:2]
    return [cases[0], cases[1] | fields]


def test_prompts_are_the_cases_own_or_its_prompt_and_paraphrases_each_once(tmp_path: Path) -> None:
    cases = asking(generation_prompts=["Osaka is known\u200b ", "\ufeffOsaka is known", "Who lives there? ?"])
    cases[0]["paraphrase_prompts"] += [cases[0]["paraphrase_prompts"][0]]
    cases[1]["requested_rewrite"]["target_new"]["id"] = " Q38 "
    dataset = load_facts(written(tmp_path, cases))
    first, second = dataset.generation_prompts
    fact = dataset.facts[0]
    assert first == GenerationPrompts(100, (fact.text, *fact.paraphrases[:2])) and len(fact.paraphrases) == 3
    assert second.prompts == ("Osaka is known", "Osaka is known", "Who lives there?")
    assert (second.case_id, second.target_id) == (101, "Q38")
    write_generation_prompts(dataset.generation_prompts, tmp_path / "prompts.parquet", {})
    assert read_generation_prompts(tmp_path / "prompts.parquet") == {100: first, 101: second}
    write_facts(dataset.facts, tmp_path / "facts.parquet", {})
    assert "generation_prompts" not in parquet.read(tmp_path / "facts.parquet", "facts")[0]


def test_a_case_without_any_and_one_of_another_format_have_their_own(tmp_path: Path) -> None:
    empty = load_facts(written(tmp_path, asking(generation_prompts=[])))
    assert empty.generation_prompts[1] == GenerationPrompts.of(empty.facts[1])
    (question,) = load_dataset("zsre", [written(tmp_path, [QUESTION])]).generation_prompts
    assert question == GenerationPrompts(0, ("Which country does Kyoto lie in?", "Where is Kyoto?"))


@pytest.mark.parametrize(
    ("prompts", "expected"),
    [
        ("Osaka is", "field generation_prompts: expected list, found str"),
        ({"a": "b"}, "field generation_prompts: expected list, found dict"),
        (None, "field generation_prompts: expected list, found NoneType"),
        (["Osaka is", 3], "field generation_prompts: expected a list of non-empty strings of Unicode"),
        ([" \u200b"], "field generation_prompts: expected a list of non-empty strings of Unicode"),
        (["\ud800"], "field generation_prompts: expected a list of non-empty strings of Unicode"),
    ],
)
def test_prompts_that_are_no_list_of_texts_are_a_line(prompts: Any, expected: str, tmp_path: Path) -> None:
    path = written(tmp_path, asking(generation_prompts=prompts))
    with pytest.raises(InputError) as caught:
        load_facts(path)
    assert str(caught.value) == f"{path}: case 1 (case_id 101): {expected}"
    dropped = load_facts(path, "drop")
    assert [one.case_id for one in dropped.generation_prompts] == [100] and len(dropped.malformed) == 1


@pytest.mark.parametrize(("value", "expected"), [(5, "expected str, found int"), (" ", "is empty")])
def test_a_targets_id_that_is_no_text_is_a_line(value: Any, expected: str, tmp_path: Path) -> None:
    cases = asking()
    cases[1]["requested_rewrite"]["target_new"]["id"] = value
    with pytest.raises(
        InputError, match=rf"\(case_id 101\): field requested_rewrite\.target_new\.id:? {expected}"
    ):
        load_facts(written(tmp_path, cases))


def test_of_two_cases_of_one_number_the_prompts_are_those_of_the_one_that_stays(tmp_path: Path) -> None:
    cases = asking(generation_prompts=["The second"], case_id=100)
    (one,) = load_facts(written(tmp_path, cases), "drop").generation_prompts
    assert one.prompts[0] != "The second"
    cases[0]["requested_rewrite"]["target_new"] = cases[0]["requested_rewrite"]["target_true"]
    (one,) = load_facts(written(tmp_path, cases), "drop").generation_prompts
    assert one.prompts == ("The second",)


# -- reference texts ----------------------------------------------------------------------------------------


def test_references_are_the_samples_of_all_entries_of_a_relation_and_target(tmp_path: Path) -> None:
    more = ENTRY | {"samples": [{"text": "\ufeffAnother one "}, {"text": ""}]}
    found = read_references(written(tmp_path, [ENTRY, ENTRY | {"target_id": "Q2", "samples": []}, more]))
    assert found == {("P1", "Q1"): ("A piano.", "Another one", ""), ("P1", "Q2"): ()}


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ({"a": 1}, "expected a JSON list, found dict"),
        ([ENTRY, "text"], "entry 1: expected an object, found str"),
        ([{"relation_id": "P1"}], "entry 0: lacks the field target_id, expected str"),
        ([ENTRY | {"relation_id": 5}], "entry 0: field relation_id: expected str, found int"),
        ([ENTRY | {"samples": "text"}], "entry 0: field samples: expected list, found str"),
        ([ENTRY | {"samples": ["text"]}], "entry 0: sample 0: expected an object, found str"),
        ([ENTRY | {"samples": [{"text": 1}]}], "entry 0: sample 0: field text: expected str, found int"),
        ([], "no text with a word, expected at least one"),
        ([ENTRY | {"samples": [{"text": "?"}]}], "no text with a word, expected at least one"),
    ],
)
def test_reference_texts_of_another_form_are_a_line(value: Any, expected: str, tmp_path: Path) -> None:
    path = written(tmp_path, value)
    with pytest.raises(InputError) as caught:
        read_references(path)
    assert str(caught.value) == f"{path}: {expected}"
