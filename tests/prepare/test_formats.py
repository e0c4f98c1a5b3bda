"""Other people's data: every format on a small file of its published form, its facts and its groups."""

import copy
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, get_args

import pytest
from dataset_entries import (
    COUNTERFACTUAL,
    EASYEDIT,
    MQUAKE,
    PORTABLE,
    QAEDIT,
    QUESTION,
    RECENT,
    RIPPLE,
    WIKIBIO,
)

from reedit.errors import InputError
from reedit.prepare.datasets import FORMATS, load_dataset, load_facts
from reedit.prepare.facts import NO_ANSWER
from reedit.prepare.groups import Item, Premise, answers_in, read_groups, write_groups
from reedit.prepare.reading import Dataset
from reedit.settings.definitions import Format

Read = Callable[..., Dataset]


@pytest.fixture
def read(tmp_path: Path) -> Read:
    """The dataset of some cases, in the form that they are told to be in."""

    def of_cases(*cases: Any, **settings: Any) -> Dataset:
        (tmp_path / "cases.json").write_text(json.dumps(cases))
        return load_facts(tmp_path / "cases.json", **settings)

    return of_cases


def told(dataset: Dataset) -> list[tuple[Any, ...]]:
    return [(one.group, one.item, one.prompt, one.answers, one.judged) for one in dataset.items]


def test_the_configuration_knows_every_format() -> None:
    assert set(get_args(Format)) == set(FORMATS)


def test_easyedit_has_a_prompt_a_rephrasing_and_one_to_be_left_alone(read: Read) -> None:
    portable = EASYEDIT | {
        "case_id": 5,
        "portability_prompt": "Her books are in",
        "portability_ground_truth": "Finnish",
    }
    bare = {
        name: EASYEDIT[name]
        for name in ("prompt", "subject", "target_new", "locality_prompt", "locality_ground_truth")
    }
    dataset = read(EASYEDIT, portable, bare | {"case_id": 6})
    fact = dataset.facts[0]
    assert (fact.case_id, fact.prompt, fact.target_new) == (4, "The mother tongue of {} is", "Finnish")
    assert (fact.target_true, fact.paraphrases) == ("Swedish", ("At home Selma Lagerlöf spoke",))
    (neighbor,) = fact.neighbors
    assert (neighbor.prompt, neighbor.object) == ("Astrid Lindgren is a native speaker of", "Swedish")
    assert dataset.facts[2].target_true == NO_ANSWER and dataset.facts[2].paraphrases == ()
    assert told(dataset) == [("one_hop", 0, "Her books are in", ("Finnish",), "answers")]
    with pytest.raises(InputError, match=r"case 0 .*field locality_ground_truth: found 0, expected 1"):
        read({name: value for name, value in EASYEDIT.items() if name != "locality_ground_truth"})


def test_qaedit_has_several_localities_and_no_other_answer(read: Read) -> None:
    dataset = read(QAEDIT, QAEDIT | {"rephrase": ["Whose is it?", "By whom?"]})
    assert [fact.case_id for fact in dataset.facts] == [0, 1], "their ids come twice"
    fact = dataset.facts[0]
    assert (fact.prompt, fact.target_new, fact.target_true) == ("who painted {}?", "Rembrandt", NO_ANSWER)
    assert [(one.prompt, one.object) for one in fact.neighbors][1] == ("who wrote faust", "Goethe")
    assert dataset.facts[1].paraphrases == ("Whose is it?", "By whom?") and not dataset.items


def test_knowedit_has_groups_that_follow_and_groups_that_stay(read: Read) -> None:
    dataset = read(RECENT, COUNTERFACTUAL, PORTABLE, WIKIBIO)
    recent, counterfactual, portable, bio = dataset.facts
    assert (recent.prompt, recent.target_new, recent.target_true) == (
        "The place of death of {} is",
        "Berlin",
        NO_ANSWER,
    )
    assert counterfactual.target_true == "mayor of Vienna" and portable.target_true == "Aspidoceratidae"
    assert portable.paraphrases == ("What family are Epaspidoceras?",)
    assert bio.prompt.startswith("This is a passage about {}. Sir John") and bio.target_new.startswith(
        "He was"
    )
    assert [one.object for one in recent.neighbors] == ["Albert Arons"], "Relation_Specificity is specificity"
    groups = {(one.case_id, one.group): one for one in dataset.items}
    assert groups[0, "Logical_Generalization"].answers == ("no", "false")
    assert groups[0, "Reasoning"].answers == ("Europe", "the Old World"), "and none without an answer"
    assert groups[0, "Reasoning"].premises is None, "nobody tells what it rests on"
    father = groups[0, "Relation_Specificity"]
    assert father.judged == "unchanged" and father.premises == (Premise(father.prompt, ("Albert Arons",)),)
    assert groups[1, "Forgetfulness"].prompt == "Frederic Piesch was also"
    assert groups[2, "Reasoning"].answers == ("owlet moths",)
    assert len(dataset.items) == 7


def test_mquake_edits_several_facts_of_a_case_together(read: Read) -> None:
    alone = copy.deepcopy(MQUAKE) | {"case_id": 2}
    alone["requested_rewrite"] = alone["requested_rewrite"][:1]
    dataset = read(MQUAKE, alone)
    assert [fact.case_id for fact in dataset.facts] == [9, 9 + 10, 2] and dataset.together == ((9, 19),)
    assert [fact.text for fact in dataset.facts][1] == "cricket was created in the country of"
    assert dataset.facts[0].paraphrases == ("Which sport is Dudley Town associated with?",)
    assert dataset.sizes == (3,) and not dataset.facts[0].neighbors
    first, second = dataset.items[:2]
    assert (first.case_id, first.group, first.item, second.item) == (9, "multi_hop", 0, 1)
    assert first.answers == ("New Delhi", "Delhi") and first.judged == "answers"
    capital = Premise("What is the capital of India?", ("New Delhi", "Delhi"))
    assert first.premises == (capital,), "the hops that are edited need not be known"
    created = Premise("Where was cricket created?", ("India",))
    assert dataset.items[2].premises == (created, capital)
    without = {name: value for name, value in MQUAKE.items() if name != "new_single_hops"}
    assert read(without).items[0].premises is None
    with pytest.raises(InputError, match="requested_rewrite: holds none"):
        read(MQUAKE | {"requested_rewrite": []})


def test_ripple_tells_subjects_from_sentences_and_premises_from_conditions(read: Read) -> None:
    dataset = read(RIPPLE)
    (fact,) = dataset.facts
    assert (fact.subject, fact.target_new) == ("Duke of York, the", "Syria")
    assert fact.prompt == "The name of the country of citizenship of {} is"
    assert (fact.target_true, fact.relation) == ("United States", "COUNTRY_OF_CITIZENSHIP")
    assert [one.object for one in fact.neighbors] == ["Irmelin"]
    capital, mother = dataset.items
    assert (capital.group, capital.judged, capital.answers) == (
        "Compositionality_I",
        "answers",
        ("Damascus",),
    )
    assert capital.premises == (Premise("The name of the capital city of Syria is", ("Damascus", "Dimashq")),)
    assert (mother.group, mother.judged) == ("Relation_Specificity", "unchanged")
    assert mother.answers == ("Irmelin", "Irma")
    recent = copy.deepcopy(RIPPLE)
    del recent["edit"]["original_fact"]
    assert read(recent).facts[0].target_true == NO_ANSWER


SENTENCES = {
    "The name of the mother of Ann of Kent is Eve.": "Ann of Kent",
    "The names of the siblings of Ann are Eve.": "Ann",
    "The place of birth of Ann is Rome.": "Ann",
    "The gender of Ann is female.": "Ann",
    "The mother tongue of Ann is Latin.": "Ann",
    "The number of children Ann has is 3.": "Ann",
    "The name of the country which Rome is associated with is Italy.": "Rome",
    "The name of the continent which Rome is part of is Asia.": "Rome",
    "The name of the sports team which Ann is a member of is Ajax.": "Ann",
    "The name of the league which Ajax plays in is Serie A.": "Ajax",
    "The name of the country which Rome is the capital of is Peru.": "Rome",
    "The name of the capital city of Republic of the Congo is Rome.": "Republic of the Congo",
    "The name of the currency in Peru is yen.": "Peru",
    "The name of the award Ann won is Oscar.": "Ann",
    "The name of the position held by Ann is mayor of Rome.": "Ann",
    "The name of the head of government of Peru is Ann.": "Peru",
    "The date of death of Ann is 1 May 1900.": "Ann",
    "Part Two is followed by Part Three.": "Part Two",
    "Part Two follows Part One.": "Part Two",
}


@pytest.mark.parametrize("sentence", SENTENCES)
def test_a_subject_is_told_from_every_shape_of_sentence(sentence: str, read: Read) -> None:
    case = copy.deepcopy(RIPPLE)
    case["edit"] = {"prompt": sentence, "relation": "R"}
    (fact,) = read(case).facts
    assert fact.subject == SENTENCES[sentence]
    assert f"{fact.text} {fact.target_new}." == sentence


def test_a_subject_that_no_shape_tells_is_one_line(read: Read) -> None:
    case = RIPPLE | {"edit": {"prompt": "Whoever it was is Eve.", "relation": "R"}}
    with pytest.raises(
        InputError, match=r"case 0.*edit\.prompt: its subject cannot be told, found 'Whoever it was is'"
    ):
        read(case)
    with pytest.raises(InputError, match="expected a statement of an object"):
        read(RIPPLE | {"edit": {"prompt": "Who was it?", "relation": "R"}})


def test_any_case_may_have_groups_of_its_own(read: Read) -> None:
    own = {
        "reversed": [
            {"prompt": "The old capital is", "answers": ["Kyoto"]},
            {"prompt": "B", "answers": ["Nara"]},
        ]
    }
    own |= {"kept": [{"prompt": "Tokyo lies in", "answers": ["Japan"], "judged": "unchanged"}]}
    hop = {"prompt": "Rome is in", "answers": ["Peru", "The Republic of Peru"]}
    own |= {"implied": [{"prompt": "Rome lies on", "answers": ["America"], "premises": [hop]}]}
    for case in (QUESTION, RECENT, {"prompt": "{} is in", "subject": "Rome", "target_new": "Peru"}):
        found = {(one.group, one.item): one for one in read(case | {"groups": own}).items}
        assert found["reversed", 1].answers == ("Nara",) and found["kept", 0].judged == "unchanged"
        assert found["implied", 0].premises == (Premise("Rome is in", ("Peru", "The Republic of Peru")),)
        assert found["reversed", 0].premises is None
    for item, match in (
        ({"prompt": "A", "answers": []}, r"groups\.reversed, item 0: field answers: holds none"),
        ({"prompt": "A", "answers": ["B"], "judge": "x"}, r"unknown key 'judge' \(did you mean judged\?\)"),
        (
            {"prompt": "A", "answers": ["B"], "judged": "x"},
            "field judged: found 'x', expected answers or unchanged",
        ),
        ({"answers": ["B"]}, "lacks the field prompt"),
        ({"prompt": "A", "answers": ["B"], "premises": {}}, "field premises: expected list, found dict"),
        (
            {"prompt": "A", "answers": ["B"], "premises": [{"prompt": "C", "answers": []}]},
            "item 0, premise 0: field answers: holds none",
        ),
    ):
        with pytest.raises(InputError, match=match):
            read(QUESTION | {"groups": {"reversed": [item]}})


FAULTS: dict[str, tuple[dict[str, Any], str]] = {
    "no locality": (QAEDIT | {"locality": [{"loc": "who"}]}, "locality 0: lacks the field loc_ans"),
    "no object": (RECENT | {"portability": {"Reasoning": ["text"]}}, "item 0: expected an object, found str"),
    "no groups": (RECENT | {"portability": ["text"]}, "field portability: expected an object, found list"),
    "no list": (RECENT | {"locality": {"A": 3}}, r"field locality\.A: expected a list, found int"),
    "no name": (RECENT | {"locality": {" ": []}}, "field locality: expected groups with a name, found ' '"),
    "no prompt": (
        RECENT | {"locality": {"A": [{"ground_truth": "B"}]}},
        r"locality\.A, item 0: lacks the field prompt",
    ),
    "no subject": (EASYEDIT | {"subject": "Rome"}, "expected the subject 'Rome' once"),
    "no answer": (MQUAKE | {"new_answer": 3}, "field new_answer: expected str, found int"),
    "no queries": (
        RIPPLE | {"Forgetfulness": [{"test_queries": [{"prompt": "A"}]}]},
        "lacks the field answers",
    ),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_what_cannot_be_read_is_one_line_or_left_out(fault: str, read: Read) -> None:
    wrong, match = FAULTS[fault]
    with pytest.raises(InputError, match=match):
        read(wrong)
    right = {"locality_prompt": EASYEDIT, "locality": QAEDIT, "portability": RECENT}
    good = next(case for case in (MQUAKE | {"case_id": 50}, RIPPLE, *right.values()) if _alike(case, wrong))
    dataset = read(wrong, good, malformed="drop")
    assert len(dataset.malformed) == 1 and dataset.facts


def _alike(one: dict[str, Any], other: dict[str, Any]) -> bool:
    return set(one) == set(other)


def test_a_file_of_another_format_is_refused_by_its_name(tmp_path: Path) -> None:
    (tmp_path / "cases.json").write_text(json.dumps([MQUAKE]))
    with pytest.raises(InputError, match="is in the form of MQuAKE, expected format: counterfact"):
        load_dataset("counterfact", [tmp_path / "cases.json"])


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("Rome", ("Rome",)),
        ([["Rome ", "Roma"], ["Rome"]], ("Rome", "Roma")),
        (["", [[" "]], None, {"a": 1}], ()),
        (3, ("3",)),
        (True, ()),
        (None, ()),
    ],
)
def test_answers_are_texts_however_deep(value: Any, expected: tuple[str, ...]) -> None:
    assert answers_in(value) == expected


def test_groups_come_back_from_their_file(tmp_path: Path, read: Read) -> None:
    items = [*read(MQUAKE).items, *read(RIPPLE).items, Item(1, "plain", 0, "A", ("B",))]
    write_groups(items, tmp_path / "groups.parquet", {})
    assert read_groups(tmp_path / "groups.parquet") == items
