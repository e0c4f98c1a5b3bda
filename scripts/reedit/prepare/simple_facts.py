"""The facts that a user writes down by hand: a short JSON list, beside the datasets' own formats."""

from collections.abc import Sequence
from itertools import chain
from typing import Any

from reedit.errors import InputError, nearest
from reedit.prepare.facts import Case, Dataset, Fact, Neighbor, read_each, tidy_prompt
from reedit.prepare.zsre import NO_ANSWER

KEYS = ("prompt", "subject", "target_new", "target_true", "paraphrases", "neighbors")
NEIGHBOR_KEYS = ("prompt", "subject", "object")


def simple_facts(files: Sequence[Sequence[Case]], malformed: str) -> Dataset:
    """The facts of files of objects; a case_id is the position.

    Each has prompt (one {} for the subject), subject and target_new, and may have target_true, paraphrases
    (texts) and neighbors (objects with prompt, subject, object); there, too, {} stands for the subject.
    Raises InputError that names the file, the case and the key; see facts.read_each.
    """
    facts, wrong = read_each(files, _fact, malformed)
    every, sizes = tuple(chain.from_iterable(facts)), tuple(map(len, facts))
    return Dataset(every, sizes, fixed_roles=False, dropped=0, malformed=tuple(wrong))


def _fact(case: Case, position: int) -> Fact:
    _check_keys(case, KEYS)
    subject = case.text("subject")
    paraphrases = case.texts("paraphrases", tidy_prompt) if case.has("paraphrases") else ()
    neighbors = case.get("neighbors", list) if case.has("neighbors") else ()
    return Fact(
        case_id=position,
        relation="",
        subject=subject,
        prompt=case.prompt("prompt"),
        target_new=case.text("target_new"),
        target_true=case.text("target_true") if case.has("target_true") else NO_ANSWER,
        paraphrases=tuple(text.replace("{}", subject) for text in paraphrases),
        neighbors=tuple(
            _neighbor(f"{case.where}: neighbor {number}", value) for number, value in enumerate(neighbors)
        ),
    )


def _neighbor(where: str, value: Any) -> Neighbor:
    case = Case(where, value)
    _check_keys(case, NEIGHBOR_KEYS)
    return Neighbor.of(case.prompt("prompt"), case.text("subject"), case.text("object"))


def _check_keys(case: Case, known: tuple[str, ...]) -> None:
    for key in case.value:
        if key not in known:
            raise InputError(f"{case.where}: unknown key {key!r}{nearest(key, known)}")
