"""The three forms of a facts file, and one clear line for everything that can be wrong with one."""

import copy
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from dataset_entries import RELEASED, without_samples
from tiny import tiny_facts

from reedit.errors import InputError
from reedit.prepare.datasets import load_facts
from reedit.prepare.facts import Neighbor, read_facts, write_facts
from reedit.storage import parquet


def written(folder: Path, cases: Any) -> Path:
    path = folder / "facts.json"
    path.write_text(json.dumps(cases), encoding="utf-8")
    return path


def test_the_published_form_is_read_as_it_stands(tmp_path: Path) -> None:
    cases = tiny_facts()
    dataset = load_facts(written(tmp_path, cases))
    assert [fact.case_id for fact in dataset.facts] == [case["case_id"] for case in cases]
    assert not dataset.fixed_roles and dataset.dropped == 0
    for fact, case in zip(dataset.facts, cases, strict=True):
        rewrite = case["requested_rewrite"]
        assert (fact.subject, fact.prompt) == (rewrite["subject"], rewrite["prompt"])
        assert (fact.target_new, fact.target_true) == tuple(
            rewrite[f"target_{x}"]["str"] for x in ("new", "true")
        )
        assert list(fact.paraphrases) == case["paraphrase_prompts"]
        samples = case["neighborhood_samples"]
        assert [n.subject for n in fact.neighbors] == [sample["subject"] for sample in samples]
        assert [n.prompt for n in fact.neighbors] == case["neighborhood_prompts"]
        assert {n.object for n in fact.neighbors} == {fact.target_true}


def test_without_samples_subjects_are_recovered_from_the_relations_templates(tmp_path: Path) -> None:
    with_samples = load_facts(written(tmp_path, tiny_facts()))
    recovered = load_facts(written(tmp_path, without_samples(tiny_facts())))
    assert recovered.facts == with_samples.facts and recovered.dropped == 0


def test_the_longest_template_that_fits_gives_the_subject(tmp_path: Path) -> None:
    cases = without_samples(tiny_facts()[:2])
    cases[0]["requested_rewrite"]["prompt"] = "{} lies in"
    cases[1]["requested_rewrite"]["prompt"] = "The town of {} lies in"
    cases[0]["neighborhood_prompts"] = ["The town of Osaka lies in", "Nara lies in"]
    dataset = load_facts(written(tmp_path, cases))
    assert [n.subject for n in dataset.facts[0].neighbors] == ["Osaka", "Nara"]


def test_templates_of_another_relation_recover_nothing(tmp_path: Path) -> None:
    cases = without_samples(tiny_facts()[:2])
    cases[1]["requested_rewrite"] |= {"prompt": "The town of {} lies in", "relation_id": "other"}
    cases[0]["neighborhood_prompts"] = ["The town of Osaka lies in"]
    dataset = load_facts(written(tmp_path, cases))
    assert dataset.facts[0].neighbors == ()


def test_unrecoverable_neighbors_are_dropped_and_counted(tmp_path: Path) -> None:
    cases = without_samples(tiny_facts())
    cases[0]["neighborhood_prompts"] += ["Nobody knows this form", " is a city in the country of"]
    dataset = load_facts(written(tmp_path, cases))
    assert dataset.dropped == 2
    assert len(dataset.facts[0].neighbors) == 3


def test_a_sample_that_is_not_in_its_text_tells_nothing(tmp_path: Path) -> None:
    cases = tiny_facts()
    cases[0]["neighborhood_samples"][1]["subject"] = "Atlantis"
    expected = load_facts(written(tmp_path, tiny_facts())).facts
    dataset = load_facts(written(tmp_path, cases))
    assert dataset.facts == expected and dataset.dropped == 0
    cases[0]["neighborhood_prompts"][1] = "Nobody knows this form"
    dataset = load_facts(written(tmp_path, cases))
    assert dataset.dropped == 1 and len(dataset.facts[0].neighbors) == 2


def test_a_subject_that_the_samples_name_otherwise_is_kept_beside_the_recovered_one(tmp_path: Path) -> None:
    """As the released data has "Friends" for "Friends, season 7": `released` edits there."""
    cases = tiny_facts()[:2]
    cases[0]["requested_rewrite"]["prompt"] = "The town of {} lies in"
    cases[0]["neighborhood_prompts"] = [
        "The town of New Osaka lies in",
        "By Nara lies",
        "The town of Uji lies in",
    ]
    cases[0]["neighborhood_samples"] = [
        {"subject": "Osaka", "prompt": "The town of New {} lies in"},
        {"subject": "Nara", "prompt": "By {} lies"},
        {"subject": "Uji", "prompt": "The town of {} lies in"},
    ]
    path = tmp_path / "facts.parquet"
    write_facts(load_facts(written(tmp_path, cases)).facts, path, {})
    neighbors = read_facts(path)[0].neighbors
    assert [(n.subject, n.given) for n in neighbors] == [
        ("New Osaka", "Osaka"),
        ("Nara", None),
        ("Uji", None),
    ]
    assert [n.start for n in neighbors] == [len("The town of "), len("By "), len("The town of ")]
    assert [n.given_start for n in neighbors] == [len("The town of New "), None, None]
    assert [n.prompt[: n.end("corrected")] for n in neighbors] == [
        "The town of New Osaka",
        "By Nara",
        "The town of Uji",
    ]
    assert all(n.end("released") == n.end("corrected") for n in neighbors)


def test_the_released_form_fixes_the_roles(tmp_path: Path) -> None:
    dataset = load_facts(written(tmp_path, [RELEASED]))
    (fact,) = dataset.facts
    assert dataset.fixed_roles and dataset.dropped == 0
    assert (fact.case_id, fact.subject, fact.prompt) == (5, "Porsche 911", "{}, created by")
    assert (fact.target_new, fact.target_true) == ("Honda", "Porsche")
    assert fact.paraphrases == ("Porsche 911, developed by",)
    assert fact.neighbors == (
        Neighbor.of("{} is produced by", "Porsche RS", "Porsche"),
        Neighbor(None, "The 911 GT1 is by", "Porsche"),
    )


def test_facts_survive_parquet_in_their_order(tmp_path: Path) -> None:
    for cases in (tiny_facts()[::-1], [RELEASED]):
        facts = load_facts(written(tmp_path, cases)).facts
        write_facts(facts, tmp_path / "facts.parquet", {"dataset": "tiny"})
        assert tuple(read_facts(tmp_path / "facts.parquet")) == facts
        assert parquet.read_provenance(tmp_path / "facts.parquet") == {"dataset": "tiny"}


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"nowhere\.json: no such file"):
        load_facts(tmp_path / "nowhere.json")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"[{", "not JSON"),
        (b'[{"case_id": 1, "a": {"x": 1, "y": 2, "x": 3}}]', "the key 'x' stands twice"),
        (b"\xff\xfe", "not JSON"),
        (b"{}", "expected a JSON list, found dict"),
        (b"[]", "holds no case"),
        (b"[3]", "case 0.*expected an object, found int"),
        (b'[{"case_id": ' + b"9" * 5000 + b"}]", "not JSON"),
        (b"[" * 100_000, "not JSON"),
    ],
)
def test_a_file_that_is_no_list_of_cases_is_named(content: bytes, message: str, tmp_path: Path) -> None:
    path = tmp_path / "facts.json"
    path.write_bytes(content)
    with pytest.raises(InputError, match=rf"facts\.json.*{message}"):
        load_facts(path)


@pytest.mark.parametrize("path", [".", "x" * 300, "nul\0"])
def test_a_path_that_cannot_be_read_is_one_line(path: str, tmp_path: Path) -> None:
    with pytest.raises(InputError):
        load_facts(tmp_path / path)


def put(*keys: Any, value: Any) -> Callable[[dict], None]:
    def change(case: dict) -> None:
        for key in keys[:-1]:
            case = case[key]
        case[keys[-1]] = value

    return change


def drop(*keys: Any) -> Callable[[dict], None]:
    def change(case: dict) -> None:
        for key in keys[:-1]:
            case = case[key]
        del case[keys[-1]]

    return change


PUBLISHED_FAULTS = {
    "no case_id": (drop("case_id"), "lacks the field case_id"),
    "case_id is negative": (put("case_id", value=-1), "field case_id: expected a number from 0"),
    "case_id beyond int64": (put("case_id", value=2**63), "field case_id: expected a number from 0"),
    "half a character": (put("requested_rewrite", "subject", value="a\ud800"), "subject: expected Unicode"),
    "half a character in a list": (put("paraphrase_prompts", value=["\ud800"]), "strings of Unicode"),
    "the new object is the true one": (
        put("requested_rewrite", "target_new", value={"str": " Japan "}),
        "the new and the true object are both 'Japan'",
    ),
    "case_id is text": (put("case_id", value="7"), "field case_id: expected int, found str"),
    "case_id is true": (put("case_id", value=True), "field case_id: expected int, found bool"),
    "case_id is a fraction": (put("case_id", value=1.5), "field case_id: expected int, found float"),
    "no rewrite": (drop("requested_rewrite"), "lacks the field requested_rewrite.prompt"),
    "rewrite is a list": (put("requested_rewrite", value=[]), "lacks the field requested_rewrite.prompt"),
    "no subject": (drop("requested_rewrite", "subject"), "lacks the field requested_rewrite.subject"),
    "empty subject": (put("requested_rewrite", "subject", value=" "), "requested_rewrite.subject is empty"),
    "no target": (
        drop("requested_rewrite", "target_new", "str"),
        "lacks the field requested_rewrite.target_new.str",
    ),
    "target is a number": (
        put("requested_rewrite", "target_true", "str", value=3),
        "target_true.str: expected str",
    ),
    "no relation": (
        drop("requested_rewrite", "relation_id"),
        "lacks the field requested_rewrite.relation_id",
    ),
    "no place for the subject": (
        put("requested_rewrite", "prompt", value="Kyoto is"),
        "exactly one {}.*'Kyoto is'",
    ),
    "two places": (put("requested_rewrite", "prompt", value="{} is {}"), "exactly one {}"),
    "no paraphrases": (drop("paraphrase_prompts"), "lacks the field paraphrase_prompts"),
    "paraphrases are text": (
        put("paraphrase_prompts", value="a"),
        "paraphrase_prompts: expected list, found str",
    ),
    "an empty paraphrase": (
        put("paraphrase_prompts", value=["a", ""]),
        "paraphrase_prompts: expected a list of non",
    ),
    "no neighbors": (drop("neighborhood_prompts"), "lacks the field neighborhood_prompts"),
    "a neighbor is a number": (
        put("neighborhood_prompts", 0, value=1),
        "neighborhood_prompts: expected a list of non",
    ),
    "too few samples": (
        put("neighborhood_samples", value=[]),
        "neighborhood_samples: expected one sample a prompt",
    ),
    "a sample is text": (put("neighborhood_samples", 0, value="x"), "neighborhood_samples: expected objects"),
}


@pytest.mark.parametrize("fault", PUBLISHED_FAULTS)
def test_a_fault_names_the_file_the_case_and_the_field(fault: str, tmp_path: Path) -> None:
    change, message = PUBLISHED_FAULTS[fault]
    cases = tiny_facts()
    change(cases[3])
    with pytest.raises(InputError, match=rf"facts\.json: case 3.*{message}") as caught:
        load_facts(written(tmp_path, cases))
    assert "\n" not in str(caught.value)
    if fault != "no case_id":
        assert f"case_id {cases[3]['case_id']}" in str(caught.value)


RELEASED_FAULTS = {
    "no subject": (drop("subject"), "lacks the field subject"),
    "the subject is not in the prompt": (
        put("prompt", value="A car by"),
        "field prompt: expected the subject",
    ),
    "the subject is there twice": (
        put("prompt", value="Porsche 911 Porsche 911 by"),
        "field prompt: expected the",
    ),
    "no ground truth in some case": (drop("ground_truth"), "lacks the field ground_truth"),
    "no locality": (drop("locality"), "lacks the field locality.neighborhood.prompt"),
    "too few ground truths": (
        put("locality", "neighborhood", "ground_truth", value=[]),
        "locality.neighborhood: expected one ground_truth",
    ),
    "no samples": (drop("neighborhood_samples"), "lacks the field neighborhood_samples"),
    "a sample without subject": (
        drop("neighborhood_samples", 0, "subject"),
        "neighborhood_samples: lacks the field",
    ),
    "no paraphrases": (drop("rephrase_prompt"), "lacks the field rephrase_prompt"),
    "braces beside the subject": (
        put("prompt", value="The {} of Porsche 911, created by"),
        "field prompt: expected no {} beside the subject",
    ),
    "nobody assists": (put("neighborhood_samples", value=[]), "expected the one that assists, found 0"),
    "two assist": (
        put("neighborhood_samples", value=RELEASED["neighborhood_samples"] * 2),
        "expected the one that assists, found 2",
    ),
}


@pytest.mark.parametrize("fault", RELEASED_FAULTS)
def test_a_fault_in_the_released_form_names_the_case_and_the_field(fault: str, tmp_path: Path) -> None:
    change, message = RELEASED_FAULTS[fault]
    broken = copy.deepcopy(RELEASED) | {"case_id": 6}
    change(broken)
    with pytest.raises(InputError, match=rf"facts\.json: case 1 \(case_id 6\).*{message}"):
        load_facts(written(tmp_path, [RELEASED, broken]))


def test_a_repeated_case_id_is_named(tmp_path: Path) -> None:
    cases = tiny_facts()
    cases[5]["case_id"] = cases[2]["case_id"]
    with pytest.raises(
        InputError, match=rf"facts\.json: case 5 \(case_id {cases[2]['case_id']}\): its case_id appears twice"
    ):
        load_facts(written(tmp_path, cases))


def test_a_case_without_neighbors_or_paraphrases_is_a_case(tmp_path: Path) -> None:
    empty = {"paraphrase_prompts": [], "neighborhood_prompts": [], "neighborhood_samples": []}
    (fact,) = load_facts(written(tmp_path, [tiny_facts()[0] | empty])).facts
    assert fact.neighbors == () and fact.paraphrases == ()


def test_a_relative_pronoun_after_a_comma_is_no_part_of_a_subject(tmp_path: Path) -> None:
    cases = without_samples(tiny_facts())
    template = cases[0]["requested_rewrite"]["prompt"]
    assert template.startswith("{} ")
    cases[0]["neighborhood_prompts"][0] = template.replace("{} ", "Javastraat, which ")
    fact = load_facts(written(tmp_path, cases)).facts[0]
    assert fact.neighbors[0].subject == "Javastraat"


@pytest.mark.parametrize("samples", [True, False])
def test_a_neighbor_whose_subject_is_blank_is_dropped_and_counted(samples: bool, tmp_path: Path) -> None:
    case = copy.deepcopy(tiny_facts()[0])
    template = case["requested_rewrite"]["prompt"]
    case |= {"neighborhood_prompts": [template.replace("{}", "  ")]}
    case |= {"neighborhood_samples": [{"subject": "  ", "prompt": template}]}
    dataset = load_facts(written(tmp_path, [case] if samples else without_samples([case])))
    assert dataset.facts[0].neighbors == () and dataset.dropped == 1


def test_what_a_message_quotes_stays_one_line_without_control_characters(tmp_path: Path) -> None:
    case = tiny_facts()[0] | {"case_id": "a\nb\x1b[2J\u202e" + "x" * 5000}
    with pytest.raises(InputError) as caught:
        load_facts(written(tmp_path, [case]))
    message = str(caught.value)
    assert message.isprintable() and len(message) < 1300
    assert message.endswith("field case_id: expected int, found str")
