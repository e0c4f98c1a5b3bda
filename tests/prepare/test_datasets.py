"""Datasets of several files, and ZsRE in its released form."""

import copy
import json
from pathlib import Path
from typing import Any

import pytest
from dataset_entries import QUESTION
from tiny import tiny_facts

from reedit.errors import InputError
from reedit.prepare.datasets import load_dataset, load_facts
from reedit.prepare.facts import NO_ANSWER, by_file, read_facts, write_facts


def written(folder: Path, cases: Any, name: str = "zsre.json") -> Path:
    (folder / name).write_text(json.dumps(cases))
    return folder / name


def test_zsre_edits_in_the_first_answer_and_asks_loc_as_a_question(tmp_path: Path) -> None:
    other = QUESTION | {"subject": "Rome", "src": "Where is Rome?", "answers": ["Italy"]}
    dataset = load_facts(written(tmp_path, [QUESTION, other]))
    fact = dataset.facts[0]
    assert [fact.case_id for fact in dataset.facts] == [0, 1]
    assert (fact.subject, fact.prompt) == ("Kyoto", "Which country does {} lie in?")
    assert (fact.target_new, fact.target_true) == ("Japan", NO_ANSWER)
    assert fact.paraphrases == ("Where is Kyoto?",)
    (neighbor,) = fact.neighbors
    assert (neighbor.prompt, neighbor.object) == ("nq question: who wrote faust?", "Goethe")
    assert not dataset.fixed_roles and dataset.dropped == 0 and dataset.sizes == (2,)
    write_facts(dataset.facts, tmp_path / "facts.parquet", {})
    assert read_facts(tmp_path / "facts.parquet") == list(dataset.facts)


FAULTS = {
    "no subject": ({"subject": None}, "field subject: expected str"),
    "the subject is not in the question": (
        {"subject": "Osaka"},
        "field src: expected the subject 'Osaka' once",
    ),
    "the subject is there twice": ({"src": "Is Kyoto in Kyoto?"}, "field src: expected the subject"),
    "braces beside the subject": (
        {"src": "Is {} like Kyoto?"},
        "field src: expected no {} beside the subject",
    ),
    "no answer": ({"answers": []}, "field answers: holds none"),
    "no answer in words": (
        {"answers": [NO_ANSWER]},
        r"field answers: found '<\|endoftext\|>', which stands for no",
    ),
    "an empty answer": ({"answers": [" "]}, "field answers: expected a list of non-empty strings"),
    "an empty object": ({"loc_ans": ""}, "field loc_ans is empty"),
    "no paraphrase": ({"rephrase": 3}, "field rephrase: expected str"),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_fault_in_zsre_names_the_file_the_case_and_the_field(fault: str, tmp_path: Path) -> None:
    change, message = FAULTS[fault]
    with pytest.raises(InputError, match=rf"zsre\.json: case 1: {message}") as caught:
        load_facts(written(tmp_path, [QUESTION, QUESTION | change]))
    assert "\n" not in str(caught.value)


def test_several_files_are_one_dataset_in_their_order(tmp_path: Path) -> None:
    cases = tiny_facts()
    parts = [written(tmp_path, part, f"{i}.json") for i, part in enumerate([cases[:5], cases[5:]])]
    whole = written(tmp_path, cases, "whole.json")
    assert load_dataset("counterfact", parts).facts == load_dataset("counterfact", [whole]).facts
    numbered = load_dataset("zsre", [written(tmp_path, [QUESTION] * n, f"z{n}.json") for n in (2, 3)])
    assert [fact.case_id for fact in numbered.facts] == [0, 1, 2, 3, 4]
    assert numbered.sizes == (2, 3) and by_file(numbered.facts, numbered.sizes) == [[0, 1], [2, 3, 4]]


def test_subjects_are_recovered_by_the_templates_of_all_files(tmp_path: Path) -> None:
    """A neighbor whose template only another file has is known all the same."""
    cases = copy.deepcopy(tiny_facts())
    for case in cases:
        del case["neighborhood_samples"]
    parts = [written(tmp_path, part, f"{i}.json") for i, part in enumerate([cases[:1], cases[1:]])]
    alone, together = load_dataset("counterfact", parts[:1]), load_dataset("counterfact", parts)
    assert len(alone.facts[0].neighbors) < len(together.facts[0].neighbors)


def test_a_case_id_that_two_files_share_is_named_with_the_second(tmp_path: Path) -> None:
    cases = tiny_facts()
    parts = [written(tmp_path, cases[:3], "a.json"), written(tmp_path, cases[2:5], "b.json")]
    with pytest.raises(InputError, match=rf"b\.json: case 0 \(case_id {cases[2]['case_id']}\): its case_id"):
        load_dataset("counterfact", parts)


def test_an_empty_file_among_several_is_named(tmp_path: Path) -> None:
    parts = [written(tmp_path, [QUESTION], "a.json"), written(tmp_path, [], "b.json")]
    with pytest.raises(InputError, match=r"b\.json: holds no case"):
        load_dataset("zsre", parts)
