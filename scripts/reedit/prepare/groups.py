"""What is asked of a case beside its scored prompts: groups of prompts, each with what may be answered.

Portability, reversed or implied facts, facts that should stay: design, section 11. A dataset's own format has
them under its own names; any format but those may have them as `groups` of a case:

    {"case_id": 7, ..., "groups": {"reversed": [{"prompt": "Lyon is the capital of", "answers": ["France"]}]}}
"""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from reedit.errors import InputError, is_unicode
from reedit.prepare.cases import Case, tidy, tidy_prompt
from reedit.prepare.facts import Fact
from reedit.storage import parquet

# how an item is judged: one of its answers is to be given, or what the unedited model says is to stay
JUDGED = ("answers", "unchanged")
KEYS = ("prompt", "answers", "judged", "premises")  # of an item that a user writes down


@dataclass(frozen=True)
class Premise:
    """What a model has to know before it can be asked fairly: it answers with one of `answers`."""

    prompt: str
    answers: tuple[str, ...]


@dataclass(frozen=True)
class Item:
    """A prompt of a group and its answers, the first of which teacher forcing takes; the others are aliases.

    `item` counts a case's prompts of the group. `premises`: what the unedited model has to know; none at all
    where nothing is needed, None where the data does not tell.
    """

    case_id: int
    group: str
    item: int
    prompt: str
    answers: tuple[str, ...]
    judged: str = "answers"
    premises: tuple[Premise, ...] | None = None

    def __post_init__(self) -> None:
        if self.judged not in JUDGED:
            raise InputError(f"judged: found {self.judged!r}, expected one of {', '.join(JUDGED)}")


def asked(
    group: str,
    prompt: str,
    answers: Sequence[str],
    judged: str = "answers",
    premises: Sequence[Premise] | None = None,
) -> Item:
    """An item of a case that `numbered` gives its number and its case.

    Where something is to stay, the premise is that the unedited model knows it.
    """
    if judged == "unchanged" and premises is None:
        premises = [Premise(prompt, tuple(answers))]
    told = None if premises is None else tuple(premises)
    return Item(-1, group, -1, prompt, tuple(answers), judged, told)


def numbered(items: Iterable[Item], case_id: int) -> Iterator[Item]:
    """The items of a case, those of each group counted from 0."""
    counts: Counter[str] = Counter()
    for item in items:
        yield replace(item, case_id=case_id, item=counts[item.group])
        counts[item.group] += 1


def own_groups(case: Case) -> Iterator[Item]:
    """The items that a case has under `groups`, in whatever format; InputError that names the field."""
    for name, items in groups_in(case, "groups"):
        for number, value in enumerate(items):
            item = Case(f"{case.where}: groups.{name}, item {number}", value)
            item.only(KEYS)
            judged = item.get("judged") if item.has("judged") else JUDGED[0]
            if judged not in JUDGED:
                raise InputError(
                    f"{item.where}: field judged: found {judged!r}, expected {' or '.join(JUDGED)}"
                )
            yield asked(name, *_question(item), judged, _premises(item))


def _question(item: Case) -> tuple[str, tuple[str, ...]]:
    """The prompt and the answers of an item or a premise that a user wrote down."""
    answers = item.texts("answers")
    if not answers:
        raise InputError(f"{item.where}: field answers: holds none, expected at least one")
    return item.text("prompt", tidy_prompt), answers


def _premises(item: Case) -> list[Premise] | None:
    if not item.has("premises"):
        return None
    found = []
    for number, value in enumerate(item.get("premises", list)):
        premise = Case(f"{item.where}, premise {number}", value)
        premise.only(KEYS[:2])
        found.append(Premise(*_question(premise)))
    return found


def groups_in(case: Case, field: str) -> Iterator[tuple[str, list[Any]]]:
    """The groups in a field, each a name and a list; none where the field is not there or empty."""
    groups = case.value.get(field) or {}
    if not isinstance(groups, dict):
        raise InputError(f"{case.where}: field {field}: expected an object, found {type(groups).__name__}")
    for name, items in groups.items():
        if not is_unicode(name) or not tidy(name):
            raise InputError(f"{case.where}: field {field}: expected groups with a name, found {name!r}")
        if not isinstance(items, list):
            found = type(items).__name__
            raise InputError(f"{case.where}: field {field}.{name}: expected a list, found {found}")
        yield tidy(name), items


def answers_in(value: Any) -> tuple[str, ...]:
    """The answers of a published item, each once: a text or lists of texts, however deep; none of no text."""
    found, left = [], [value]
    while left:
        one = left.pop()
        if isinstance(one, list):
            left += reversed(one)
        elif isinstance(one, str | int | float) and not isinstance(one, bool):
            found.append(_text(one))
    return tuple(dict.fromkeys(filter(None, found)))


def _text(value: Any) -> str:
    text = str(value)
    return tidy(text) if is_unicode(text) else ""


def write_groups(items: Sequence[Item], path: Path, provenance: Mapping[str, Any]) -> None:
    """Write items as Parquet, in their order."""
    parquet.write([asdict(item) for item in items], path, "groups", provenance)


def groups_of(facts: Sequence[Fact], path: Path) -> list[Item]:
    """The items of a Parquet file that are asked of some facts, in these facts' order."""
    of_case: dict[int, list[Item]] = {}
    for item in read_groups(path):
        of_case.setdefault(item.case_id, []).append(item)
    return [item for fact in facts for item in of_case.get(fact.case_id, [])]


def read_groups(path: Path | str) -> list[Item]:
    """The items of a Parquet file, in its order."""
    return [
        Item(
            **row
            | {
                "answers": tuple(row["answers"]),
                "premises": None
                if row["premises"] is None
                else tuple(Premise(one["prompt"], tuple(one["answers"])) for one in row["premises"]),
            }
        )
        for row in parquet.read(path, "groups")
    ]
