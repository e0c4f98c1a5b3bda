"""The facts that a user writes down by hand: a short JSON list, beside the datasets' own formats."""

from pathlib import Path
from typing import Any

from reedit.errors import InputError, nearest
from reedit.prepare.facts import Case, Fact, Neighbor, read_cases
from reedit.prepare.zsre import NO_ANSWER

KEYS = ("prompt", "subject", "target_new", "target_true", "paraphrases", "neighbors")
NEIGHBOR_KEYS = ("prompt", "subject", "object")


def read_simple_facts(path: Path) -> list[Fact]:
    """The facts of a JSON list of objects; a case_id is the position.

    Each has prompt (one {} for the subject), subject and target_new, and may have target_true, paraphrases
    (texts) and neighbors (objects with prompt, subject, object); there, too, {} stands for the subject.
    Raises InputError that names the file, the case and the key.
    """
    return [_fact(case, case_id) for case_id, case in enumerate(read_cases(path))]


def _fact(case: Case, case_id: int) -> Fact:
    _check_keys(case, KEYS)
    subject = case.text("subject")
    return Fact(
        case_id=case_id,
        relation="",
        subject=subject,
        prompt=_prompt(case),
        target_new=case.text("target_new"),
        target_true=case.text("target_true") if case.has("target_true") else NO_ANSWER,
        paraphrases=tuple(
            text.replace("{}", subject)
            for text in (case.texts("paraphrases") if case.has("paraphrases") else ())
        ),
        neighbors=tuple(
            _neighbor(f"{case.where}: neighbor {number}", value)
            for number, value in enumerate(case.get("neighbors", list) if case.has("neighbors") else ())
        ),
    )


def _neighbor(where: str, value: Any) -> Neighbor:
    case = Case(where, value)
    _check_keys(case, NEIGHBOR_KEYS)
    subject = case.text("subject")
    return Neighbor(subject, _prompt(case).replace("{}", subject), case.text("object"))


def _prompt(case: Case) -> str:
    prompt = case.text("prompt")
    if prompt.count("{}") != 1:
        raise InputError(f"{case.where}: field prompt: found {prompt!r}, expected one {{}} for the subject")
    return prompt


def _check_keys(case: Case, known: tuple[str, ...]) -> None:
    for key in case.value:
        if key not in known:
            raise InputError(f"{case.where}: unknown key {key!r}{nearest(key, known)}")
