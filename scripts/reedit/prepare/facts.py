"""Facts: the edit cases of a dataset, and the Parquet file that holds them (design, section 3)."""

import json
import logging
import re
import unicodedata
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from itertools import accumulate
from pathlib import Path
from typing import Any

from reedit.errors import InputError
from reedit.methods.protocols import PROTOCOLS
from reedit.storage import parquet

SHOWN = 3  # reasons in one line


@dataclass(frozen=True)
class Neighbor:
    """A neighboring fact whose object an edit should leave alone; `prompt` is its full text.

    `start`: the character at which its subject stands, which is known from where the slot stood, and is never
    searched for. `given`: the subject that the published data names, where it names another one
    (docs/subjects.md).
    """

    subject: str | None
    prompt: str
    object: str
    given: str | None = None
    start: int | None = None
    given_start: int | None = None

    @classmethod
    def of(cls, template: str, subject: str, object: str) -> "Neighbor":
        """Of a template with one ``{}`` for the subject."""
        return cls(subject, filled(template, subject), object, start=template.index("{}"))

    def end(self, protocol: str) -> int | None:
        """The character at which its subject ends; None where it has none.

        The subject is as published under `released`, as its prompt's template tells under `corrected`.
        """
        if PROTOCOLS[protocol].given_subjects and self.given is not None:
            return self.given_start + len(self.given)
        return None if self.subject is None else self.start + len(self.subject)


@dataclass(frozen=True)
class Fact:
    """One edit case: `prompt` holds one ``{}`` for the subject; targets carry no leading space."""

    case_id: int
    relation: str
    subject: str
    prompt: str
    target_new: str
    target_true: str
    paraphrases: tuple[str, ...]
    neighbors: tuple[Neighbor, ...]

    @property
    def text(self) -> str:
        """The prompt with its subject in place of the slot."""
        return filled(self.prompt, self.subject)

    @property
    def start(self) -> int:
        """The character of the text at which the subject stands."""
        return self.prompt.index("{}")

    @property
    def end(self) -> int:
        """The character of the text at which the subject ends."""
        return self.start + len(self.subject)


@dataclass(frozen=True)
class GenerationPrompts:
    """What a model goes on from where its fluency is measured; `prompts` are full texts and may repeat.

    `target_id`: of target_new, by which reference texts are found; None where the data names none.
    """

    case_id: int
    prompts: tuple[str, ...]
    target_id: str | None = None

    @classmethod
    def of(cls, fact: Fact) -> "GenerationPrompts":
        """Of a case that brings none: its own prompt and its paraphrases, each once."""
        return cls(fact.case_id, tuple(dict.fromkeys((fact.text, *fact.paraphrases))))


def filled(template: str, subject: str) -> str:
    """A template with a subject in its slot."""
    return template.replace("{}", subject, 1)


# what no one sees and a tokenizer does: str.strip leaves it
INVISIBLE = "\u200b\u200c\u200d\u2060\ufeff\u200e\u200f\u00ad"


def tidy(text: str) -> str:
    """A text as it is put to a model: NFC, without white space or invisible characters at its ends.

    Every text of a fact comes through here, whatever its format. Inside, a text stays as it is.
    """
    found = unicodedata.normalize("NFC", text)
    while (shorter := found.strip().strip(INVISIBLE)) != found:
        found = shorter
    return found


def tidy_prompt(text: str) -> str:
    """As `tidy`, with one question mark at the end of a question: formats add their own to what has one."""
    return re.sub(r"\?(\s*\?)+$", "?", tidy(text))


class Case:
    """One case of a JSON file, whose lookups name the file, the case and the field at fault."""

    def __init__(self, where: str, value: Any) -> None:
        if not isinstance(value, dict):
            raise InputError(f"{where}: expected an object, found {type(value).__name__}")
        self.where = f"{where} (case_id {value['case_id']})" if "case_id" in value else where
        self.value = value

    def get(self, field: str, kind: type = str) -> Any:
        """The value at a dotted path, of type `kind`."""
        found: Any = self.value
        for key in field.split("."):
            if not isinstance(found, dict) or key not in found:
                raise InputError(f"{self.where}: lacks the field {field}, expected {kind.__name__}")
            found = found[key]
        if not isinstance(found, kind) or isinstance(found, bool):
            raise InputError(
                f"{self.where}: field {field}: expected {kind.__name__}, found {type(found).__name__}"
            )
        if isinstance(found, str) and not is_unicode(found):
            raise InputError(f"{self.where}: field {field}: expected Unicode, found {found!r}")
        return found

    def text(self, field: str, tidied: Callable[[str], str] = tidy) -> str:
        """The text of a field, as it is put to a model."""
        found = tidied(self.get(field))
        if not found:
            raise InputError(f"{self.where}: field {field} is empty")
        return found

    def texts(self, field: str, tidied: Callable[[str], str] = tidy) -> tuple[str, ...]:
        """The texts of a list, as they are put to a model."""
        found = self.get(field, list)
        if not all(isinstance(text, str) and is_unicode(text) and tidied(text) for text in found):
            raise InputError(f"{self.where}: field {field}: expected a list of non-empty strings of Unicode")
        return tuple(map(tidied, found))

    def prompt(self, field: str) -> str:
        """The text of a field that holds one ``{}`` for the subject."""
        found = self.text(field, tidy_prompt)
        if found.count("{}") != 1:
            raise InputError(
                f"{self.where}: field {field}: expected exactly one {{}} for the subject, found {found!r}"
            )
        return found

    def case_id(self) -> int:
        found = self.get("case_id", int)
        if not 0 <= found < 2**63:
            raise InputError(f"{self.where}: field case_id: expected a number from 0 to 2^63 - 1")
        return found

    def template(self, field: str, subject: str) -> str:
        """The text of a field with ``{}`` in place of its subject, which has to stand in it once."""
        text = self.text(field, tidy_prompt)
        if text.count(subject) != 1:
            raise InputError(
                f"{self.where}: field {field}: expected the subject {subject!r} once, found {text!r}"
            )
        template = text.replace(subject, "{}")
        if template.count("{}") != 1:
            raise InputError(
                f"{self.where}: field {field}: expected no {{}} beside the subject, found {text!r}"
            )
        return template

    def has(self, field: str) -> bool:
        return field in self.value


@dataclass(frozen=True)
class Dataset:
    """The facts of one file or several, in their order."""

    facts: tuple[Fact, ...]
    sizes: tuple[int, ...]  # cases of each file, those that are left out aside
    fixed_roles: bool  # the file itself says which neighbor assists: each case's first
    dropped: int  # neighbors whose subject could not be told from their text
    malformed: tuple[str, ...] = ()  # why each of the cases that were left out could not be read
    given: Mapping[int, GenerationPrompts] = field(default_factory=dict)  # by case, as the data has them

    @property
    def generation_prompts(self) -> list[GenerationPrompts]:
        """Those of every case, in order."""
        return [self.given.get(fact.case_id) or GenerationPrompts.of(fact) for fact in self.facts]


def read_each(
    files: Sequence[Sequence[Case]], make: Callable[[Case, int], Fact], malformed: str
) -> tuple[list[list[Fact]], list[str]]:
    """The facts of each file, and why the others could not be read.

    `make` gets a case and its position among all. With malformed: error, raises one InputError that tells of
    all cases that cannot be read; with drop they are left out. A case_id that comes twice cannot be read
    the second time.
    """
    facts: list[list[Fact]] = [[] for _ in files]
    wrong, seen = [], set()
    for position, (number, case) in enumerate((n, case) for n, file in enumerate(files) for case in file):
        try:
            fact = make(case, position)
            if fact.case_id in seen:
                raise InputError(f"{case.where}: its case_id appears twice, expected unique case_ids")
            if fact.target_new == fact.target_true:
                raise InputError(f"{case.where}: the new and the true object are both {fact.target_new!r}")
        except InputError as error:
            wrong.append(str(error))
        else:
            seen.add(fact.case_id)
            facts[number].append(fact)
    count = sum(map(len, files))
    if wrong and (malformed == "error" or len(wrong) == count):
        way = "; malformed: drop leaves such cases out" if len(wrong) < count else ""
        raise InputError(together(wrong, f"{len(wrong)} of {count} cases cannot be read{way}"))
    return facts, wrong


def together(reasons: Sequence[str], what: str) -> str:
    """One line for many reasons, the first of them in full; a single one speaks for itself."""
    if len(reasons) == 1:
        return reasons[0]
    for reason in reasons if len(reasons) > SHOWN else ():
        logging.getLogger("reedit").info("%s", reason)
    more = f"; and {len(reasons) - SHOWN} more, each with a line above" if len(reasons) > SHOWN else ""
    return f"{what}: {'; '.join(reasons[:SHOWN])}{more}"


def is_unicode(text: str) -> bool:
    """Whether a text can be written: JSON may hold halves of a character, lone surrogates."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def read_cases(path: Path) -> list[Case]:
    """The cases of a JSON file; InputError where it holds none."""
    values = read_json_list(path)
    if not values:
        raise InputError(f"{path}: holds no case, expected at least one")
    return [Case(f"{path}: case {index}", value) for index, value in enumerate(values)]


def read_json_list(path: Path) -> list[Any]:
    """A JSON list, or InputError."""
    try:
        value = json.loads(Path(path).read_text(encoding="utf-8-sig"))
    except (FileNotFoundError, IsADirectoryError) as error:
        raise InputError(f"{path}: no such file") from error
    except OSError as error:
        raise InputError(f"{path}: not readable ({error.strerror})") from error
    except (ValueError, RecursionError) as error:  # of too long a number it is a bare ValueError
        if "Extra data: line 2" in str(error):
            raise InputError(f"{path}: holds a JSON value a line, expected one JSON list") from error
        raise InputError(f"{path}: not JSON ({error})") from error
    if not isinstance(value, list):
        raise InputError(f"{path}: expected a JSON list, found {type(value).__name__}")
    return value


def write_facts(facts: Sequence[Fact], path: Path, provenance: Mapping[str, Any]) -> None:
    """Write facts as Parquet, in their order."""
    rows = [
        asdict(fact)
        | {"paraphrases": list(fact.paraphrases), "neighbors": [asdict(n) for n in fact.neighbors]}
        for fact in facts
    ]
    parquet.write(rows, path, "facts", provenance)


def read_facts(path: Path) -> list[Fact]:
    """The facts of a Parquet file, in its order."""
    return [
        Fact(
            **row
            | {
                "paraphrases": tuple(row["paraphrases"]),
                "neighbors": tuple(Neighbor(**neighbor) for neighbor in row["neighbors"]),
            }
        )
        for row in parquet.read(path, "facts")
    ]


def write_generation_prompts(
    cases: Sequence[GenerationPrompts], path: Path, provenance: Mapping[str, Any]
) -> None:
    """Write what models go on from as Parquet, a row a case, in their order."""
    rows = [asdict(case) | {"prompts": list(case.prompts)} for case in cases]
    parquet.write(rows, path, "generation_prompts", provenance)


def read_generation_prompts(path: Path) -> dict[int, GenerationPrompts]:
    """The cases of a Parquet file by their case_id, in its order."""
    rows = parquet.read(path, "generation_prompts")
    return {row["case_id"]: GenerationPrompts(**row | {"prompts": tuple(row["prompts"])}) for row in rows}


def by_file(facts: Sequence[Fact], sizes: Sequence[int]) -> list[list[int]]:
    """The case_ids of each file of a dataset, whose facts follow one another; `sizes`: cases of each."""
    stops = list(accumulate(sizes))
    return [
        [fact.case_id for fact in facts[stop - size : stop]] for stop, size in zip(stops, sizes, strict=True)
    ]
