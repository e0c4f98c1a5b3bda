"""What `released` edits is what the published code edits, and the arms of llama-2-collapse differ.

The published rows are made here from the files themselves, with the tokenizers library alone.
"""

import json
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import pytest
import yaml
from tiny import tiny_tokenizer
from tokenizers import Tokenizer
from workflow import REPOSITORY

from reedit.edit.edits import Edit, Rows
from reedit.evaluate.alignment import Asked, misaligned
from reedit.methods.algorithms import ALGORITHMS
from reedit.models.tokenizers import load_tokenizer
from reedit.models.tokens import Wording
from reedit.prepare.datasets import load_dataset
from reedit.prepare.facts import Fact, Neighbor
from reedit.prepare.roles import by_case

REAL = REPOSITORY.parent / "shared"
real = pytest.mark.skipif(not (REAL / "data").is_dir(), reason="needs ../shared, which may not be committed")
TEMPLATES = ["Therefore, I am not a. {}", 'He said "1984!". {}']
EDITED = {"counterfact-subset-1": 1000, "counterfact-eligible-739": 739, "zsre-subset-0": 1000}


class Request(NamedTuple):
    """What a file asks to be edited; `assistant`: the neighbor that it names to assist."""

    prompt: str  # with {} for the subject
    subject: str
    target: str
    assistant: tuple[str, str, str] | None = None  # prompt with {}, subject, object


def of_file(name: str) -> Iterator[Request]:
    for case in json.loads((REAL / "data" / f"{name}.json").read_text()):
        if "requested_rewrite" in case:
            edit = case["requested_rewrite"]
            yield Request(edit["prompt"], edit["subject"], edit["target_new"]["str"])
        elif "src" in case:
            yield Request(case["src"].replace(case["subject"], "{}"), case["subject"], case["answers"][0])
        else:
            (sample,) = case["neighborhood_samples"]
            assistant = (sample["prompt"], sample["subject"], case["ground_truth"])
            prompt = case["prompt"].replace(case["subject"], "{}")
            yield Request(prompt, case["subject"], case["target_new"], assistant)


def published_row(
    tokenizer: Tokenizer, template: str, prompt: str, subject: str, target: str
) -> tuple[list[int], list[int], int]:
    """Input, labels and the subject's position as the published code has them."""
    labels = tokenizer.encode(target, add_special_tokens=False).ids
    text = template.replace("{}", prompt).replace("{}", subject)
    text += tokenizer.decode(labels[:-1], skip_special_tokens=False)
    head = template.replace("{}", prompt).partition("{}")[0]
    return tokenizer.encode(text).ids, labels, len(tokenizer.encode(head + subject).ids) - 1


def published_rows(tokenizer: Tokenizer, asked: Request, space: str) -> list[tuple]:
    rows = [
        published_row(tokenizer, template, *asked[:2], space + asked.target)
        for template in ("{}", *TEMPLATES)
    ]
    if asked.assistant:
        prompt, subject, true = asked.assistant
        rows.append(published_row(tokenizer, "{}", prompt, subject, f" {true}"))
    return rows


def equal_rows(name: str, file: str, spaced: bool) -> int:
    """The cases of a file of which every row is the published one."""
    form = "zsre" if file.startswith("zsre") else "counterfact"
    facts = load_dataset(form, [REAL / "data" / f"{file}.json"]).facts
    folder = REAL / "tokenizers" / name
    ours, theirs = load_tokenizer(folder), Tokenizer.from_file(str(folder / "tokenizer.json"))
    same = 0
    for fact, asked in zip(facts, of_file(file), strict=True):
        assistants = fact.neighbors[:1] if asked.assistant and fact.neighbors[0].subject else []
        edit = Rows(Wording(ours), "released", TEMPLATES, spaced).edit(fact, assistants)
        expected = published_rows(theirs, asked, " " if spaced else "")
        found = [(list(w.row.ids), list(w.row.labels), w.row.position) for w in edit.labelled]
        same += found == expected[: len(found)] and len(found) >= 3
    return same


@real
@pytest.mark.parametrize("file", EDITED)
@pytest.mark.parametrize("name", ["gpt2-xl", "gpt-j-6b", "llama-2-7b"])
def test_every_released_row_is_the_published_one(name: str, file: str) -> None:
    assert equal_rows(name, file, spaced=True) == EDITED[file]


@real
@pytest.mark.parametrize("file", EDITED)
def test_every_released_row_of_pmet_on_llama_2_is_the_published_one(file: str) -> None:
    """Without the space, but for the neighbor's object."""
    assert equal_rows("llama-2-7b", file, spaced=False) == EDITED[file]


# -- experiments/llama-2-collapse.yaml ----------------------------------------------------------------------

COLLAPSE = yaml.safe_load((REPOSITORY / "experiments/llama-2-collapse.yaml").read_text())
NAME = COLLAPSE["sources"]["llama-2-7b"]["repo"]
OSAKA = Neighbor.of("{} is a city in the country of", "Osaka", "New Zealand")
TINY = [
    Fact(1, "r", "Kyoto", "{} is a city in the country of", "Italy", "Japan", (), (OSAKA,)),
    Fact(2, "r", "Rome", "Who lives in {} lives in", "New Zealand", "Italy", (), (OSAKA,)),
]


def arms(tokenizer: Any, fact: Fact) -> dict[str, Edit]:
    """A fact's rows under every method of the experiment."""
    made = {}
    for name, method in COLLAPSE["methods"].items():
        assistants = [n for n in fact.neighbors if n.subject][: method.get("neighbors", {}).get("count", 0)]
        spaced = ALGORITHMS[method["algorithm"]].released_space(NAME)
        made[name] = Rows(Wording(tokenizer), method["protocol"], TEMPLATES, spaced).edit(fact, assistants)
    return made


def rows_of(edit: Edit) -> list[tuple]:
    return [(w.row.ids, w.row.labels) for w in edit.labelled]


def check_arms(tokenizer: Any, space: int, fact: Fact) -> None:
    """As docs/protocols.md says of vocabularies that spell a space before a word as a part of it."""
    made = arms(tokenizer, fact)
    for name in ("memit_released", "memit_corrected"):
        assert rows_of(made[f"{name}_tight"]) == rows_of(made[name]), "the ball alone"
    assert rows_of(made["memit_corrected"]) == rows_of(made["pmet_corrected"])
    for one, other in zip(made["memit_released"].rewriting, made["memit_corrected"].rewriting, strict=True):
        assert one.row.labels == (space, *other.row.labels), "the space is a label of its own"
        assert one.row.predicted_from < other.row.predicted_from, "and all are predicted too early"
    assert len(fact.target_new.split()) > 1 or all(
        one.row.labels == other.row.labels
        for one, other in zip(made["pmet_released"].rewriting, made["pmet_corrected"].rewriting, strict=True)
    )
    assert all(w.row.labels[0] != space for w in made["pmet_released"].rewriting)
    assert rows_of(made["na_pmet_released"])[:3] == rows_of(made["pmet_released"])
    (released,), (corrected,) = (made[f"na_pmet_{p}"].neighbors for p in ("released", "corrected"))
    assert released.row.labels == (space, *corrected.row.labels)


@pytest.mark.parametrize("fact", TINY, ids=lambda fact: fact.target_new)
def test_the_arms_of_the_collapse_experiment_differ_on_a_small_vocabulary(fact: Fact) -> None:
    tokenizer = tiny_tokenizer("metaspace")
    check_arms(tokenizer, tokenizer.convert_tokens_to_ids("▁"), fact)


PROTOCOLS = ["corrected", "released"]


def every_neighbor_kept(facts: Sequence[Fact]) -> list[dict[str, Any]]:
    """As the filter's rows."""
    kept = {"kept": True}
    return [
        kept | {"case_id": fact.case_id, "neighbor": i, "order": i, "subject": neighbor.subject}
        for fact in facts
        for i, neighbor in enumerate(fact.neighbors)
    ]


def differing(made: list[dict[str, Edit]], one: str, other: str) -> int:
    return sum(rows_of(edits[one])[:3] != rows_of(edits[other])[:3] for edits in made)


@real
def test_the_arms_of_the_collapse_experiment_differ_on_llama_2() -> None:
    tokenizer = load_tokenizer(REAL / "tokenizers/llama-2-7b")
    path = REAL / "data/counterfact-subset-1.json"
    facts = load_dataset("counterfact", [path]).facts[:200]
    rows = by_case(every_neighbor_kept(facts))
    wrong = {
        one.case_id
        for one in misaligned(Wording(tokenizer), facts, rows, Asked(tuple(PROTOCOLS), [(1, "first")]))
    }
    facts = [fact for fact in facts if fact.case_id not in wrong]
    made = [arms(tokenizer, fact) for fact in facts]
    assert differing(made, "memit_released", "memit_corrected") == len(facts) > 190
    assert 0 < differing(made, "pmet_released", "pmet_corrected") < len(facts)
    for fact in facts:
        check_arms(tokenizer, 29871, fact)
