"""The facts that a user writes down by hand: a short JSON list, beside the datasets' own formats."""

from collections.abc import Sequence
from typing import Any

from reedit.prepare.cases import Case, tidy_prompt
from reedit.prepare.facts import NO_ANSWER, Fact, Neighbor
from reedit.prepare.reading import Dataset, Read, read_each

KEYS = ("prompt", "subject", "target_new", "target_true", "paraphrases", "neighbors", "groups")
NEIGHBOR_KEYS = ("prompt", "subject", "object")


def simple_facts(files: Sequence[Sequence[Case]], malformed: str) -> Dataset:
    """The facts of files of objects; a case_id is the position.

    Each has prompt (one {} for the subject), subject and target_new, and may have target_true, paraphrases
    (texts), neighbors (objects with prompt, subject, object) and groups (groups.py); in texts and neighbors,
    too, {} stands for the subject. Raises InputError that names the file, the case and the key; see
    reading.read_each.
    """
    return read_each(files, lambda case, position: Read((_fact(case, position),)), malformed)


def _fact(case: Case, position: int) -> Fact:
    case.only(KEYS)
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
    case.only(NEIGHBOR_KEYS)
    return Neighbor.of(case.prompt("prompt"), case.text("subject"), case.text("object"))
