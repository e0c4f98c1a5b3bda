"""Facts: a file is refused in one line, or what is read from it means what the file says."""

import copy
import json
from contextlib import suppress
from typing import Any

import pytest
from dataset_entries import (
    COUNTERFACTUAL,
    EASYEDIT,
    MQUAKE,
    PORTABLE,
    QAEDIT,
    QUESTION,
    RECENT,
    RELEASED,
    RIPPLE,
    WIKIBIO,
    without_samples,
)
from hostile import JSON, TEXT, UNICODE, Refused, damaged, file_of, one_line_if_refused, spoiled
from hypothesis import given
from hypothesis import strategies as st
from tiny import tiny_facts

from reedit.evaluate.collapse import read_texts
from reedit.prepare.cases import tidy, tidy_prompt
from reedit.prepare.datasets import FORMATS, load_dataset, load_facts
from reedit.prepare.facts import Fact, Neighbor, filled, read_facts, write_facts
from reedit.prepare.groups import JUDGED, read_groups, write_groups
from reedit.prepare.prefixes import read_prefixes
from reedit.prepare.reading import Dataset
from reedit.storage import parquet
from reedit.storage.schemas import SCHEMAS

PUBLISHED = tiny_facts()[:2]
FILES: dict[str, tuple[str, list[dict]]] = {
    "published": ("counterfact", PUBLISHED),
    "published without samples": ("counterfact", without_samples(PUBLISHED)),
    "released": ("counterfact", [RELEASED, RELEASED | {"case_id": 6}]),
    "zsre": ("zsre", [QUESTION, QUESTION]),
    "own groups": ("zsre", [QUESTION | {"groups": {"kept": [{"prompt": "A", "answers": ["B"]}]}}] * 2),
    "easyedit": ("easyedit", [EASYEDIT | {"portability_prompt": "A", "portability_ground_truth": "B"}]),
    "qaedit": ("qaedit", [QAEDIT, QAEDIT]),
    "knowedit": ("knowedit", [RECENT, COUNTERFACTUAL, PORTABLE, WIKIBIO]),
    "mquake": ("mquake", [MQUAKE, MQUAKE | {"case_id": 3}]),
    "ripple": ("ripple", [RIPPLE, RIPPLE]),
}


def stands(prompt: str, subject: str | None, start: int | None) -> bool:
    """Whether a subject stands where it is said to; one that is not known stands nowhere."""
    if subject is None:
        return start is None
    return bool(tidy(subject)) and prompt[start : start + len(subject)] == subject


def makes_sense(dataset: Dataset) -> None:
    """What every later stage relies on."""
    ids = [fact.case_id for fact in dataset.facts]
    assert len(set(ids)) == len(ids) == sum(dataset.sizes) > 0
    for fact in dataset.facts:
        assert 0 <= fact.case_id < 2**63 and fact.prompt.count("{}") == 1
        assert fact.subject.strip() and fact.target_new.strip() and fact.target_true.strip()
        assert fact.target_new != fact.target_true
        assert all(text and text == tidy_prompt(text) for text in fact.paraphrases)
        for neighbor in fact.neighbors:
            assert neighbor.prompt.strip() and neighbor.object.strip()
            assert stands(neighbor.prompt, neighbor.subject, neighbor.start)
            assert stands(neighbor.prompt, neighbor.given, neighbor.given_start)
            assert neighbor.given is None or neighbor.given != neighbor.subject
    if dataset.fixed_roles:
        assert all(fact.neighbors for fact in dataset.facts)
    for case in dataset.together:
        assert len(case) > 1 and set(case) <= set(ids)
    for item in dataset.items:
        assert item.case_id in ids and item.prompt.strip() and item.judged in JUDGED
        assert item.answers and all(answer == tidy(answer) != "" for answer in item.answers)
        assert all(one.prompt.strip() and one.answers for one in item.premises or ())
    with file_of(b"") as path:
        write_facts(dataset.facts, path, {})
        assert tuple(read_facts(path)) == dataset.facts
        write_groups(dataset.items, path, {})
        assert tuple(read_groups(path)) == dataset.items


def read_or_refused(content: str | bytes, form: str) -> Dataset | None:
    with suppress(Refused), file_of(content) as path:
        with one_line_if_refused():
            dataset = load_dataset(form, [path])
        makes_sense(dataset)
        return dataset
    return None


@pytest.mark.parametrize("form", FILES)
@given(data=st.data())
def test_a_spoiled_file_of_facts_is_refused_or_makes_sense(form: str, data: st.DataObject) -> None:
    kind, cases = FILES[form]
    read_or_refused(json.dumps(data.draw(spoiled(cases, TEXT | JSON))), kind)


@pytest.mark.parametrize("form", FILES)
@given(data=st.data())
def test_a_damaged_file_of_facts_is_refused_or_makes_sense(form: str, data: st.DataObject) -> None:
    kind, cases = FILES[form]
    read_or_refused(data.draw(damaged(json.dumps(cases).encode())), kind)


@given(st.sampled_from(list(FORMATS)), st.binary() | JSON.map(lambda v: json.dumps([v]).encode()))
def test_a_file_of_anything_is_refused_or_makes_sense(form: str, content: bytes) -> None:
    read_or_refused(content, form)


@given(subject=TEXT, before=TEXT, after=TEXT, new=TEXT, true=TEXT)
def test_a_fact_in_any_words_is_refused_or_reads_as_the_file_says(
    subject: str, before: str, after: str, new: str, true: str
) -> None:
    """In all three forms: with its subject filled in, the prompt is the file's text again."""
    published: Any = copy.deepcopy(PUBLISHED[0])
    published["requested_rewrite"] |= {"subject": subject, "prompt": f"{before}{{}}{after}"}
    published["requested_rewrite"] |= {"target_new": {"str": new}, "target_true": {"str": true}}
    text = f"{before}{subject}{after}"
    released = RELEASED | {"subject": subject, "prompt": text, "target_new": new, "ground_truth": true}
    question = QUESTION | {"subject": subject, "src": text, "answers": [new]}
    for form, case in [("counterfact", published), ("counterfact", released), ("zsre", question)]:
        dataset = read_or_refused(json.dumps([case]), form)
        if dataset:
            (fact,) = dataset.facts
            slot = filled(tidy_prompt(f"{before}{{}}{after}"), tidy(subject))
            expected = slot if case is published else tidy_prompt(text)
            assert fact.prompt.replace("{}", fact.subject) == expected
            assert (fact.subject, fact.target_new) == (tidy(subject), tidy(new))


NEIGHBORS = st.builds(Neighbor, st.none() | UNICODE, UNICODE, UNICODE)
FACTS = st.builds(
    Fact,
    *(st.integers(-(2**63), 2**63 - 1), UNICODE, UNICODE, UNICODE, UNICODE, UNICODE),
    st.lists(UNICODE, max_size=3).map(tuple),
    st.lists(NEIGHBORS, max_size=3).map(tuple),
)


@given(st.lists(FACTS, max_size=4), st.dictionaries(UNICODE, UNICODE, max_size=2))
def test_facts_to_parquet_and_back_is_the_identity(facts: list[Fact], made_by: dict[str, str]) -> None:
    with file_of(b"") as path:
        write_facts(facts, path, made_by)
        assert read_facts(path) == facts and parquet.read_provenance(path) == made_by


@given(st.data())
def test_a_damaged_parquet_file_is_refused_or_reads_as_facts(data: st.DataObject) -> None:
    with file_of(b"") as path, suppress(Refused):
        write_facts(load_counterfact_of(PUBLISHED), path, {})
        path.write_bytes(data.draw(damaged(path.read_bytes())))
        with one_line_if_refused():
            rows = parquet.read(path, "facts")
        assert all(set(row) == set(SCHEMAS["facts"].names) for row in rows)


def load_counterfact_of(cases: list[dict]) -> tuple[Fact, ...]:
    with file_of(json.dumps(cases)) as path:
        return load_facts(path).facts


@given(spoiled([{"Text": "One."}, {"Text": "Two."}]) | JSON)
def test_texts_are_refused_or_read_as_they_stand(content: Any) -> None:
    with file_of(json.dumps(content)) as path, suppress(Refused):
        with one_line_if_refused():
            texts = read_texts(path)
        assert texts == [item["Text"] for item in content] and all(text.encode() for text in texts)


@given(spoiled(["The end. {}", "So. {}"]) | JSON)
def test_prefixes_are_refused_or_read_as_they_stand(content: Any) -> None:
    with file_of(json.dumps(content)) as path, suppress(Refused):
        with one_line_if_refused():
            templates = read_prefixes(path)
        assert templates == content and all(t.encode().count(b"{}") == 1 for t in templates)
