"""Facts: the edit cases of a dataset, and the Parquet file that holds them (design, section 3)."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import accumulate
from pathlib import Path
from typing import Any

from reedit.errors import InputError
from reedit.methods.protocols import PROTOCOLS
from reedit.storage import parquet


@dataclass(frozen=True)
class Neighbor:
    """A neighboring fact whose object an edit should leave alone; `prompt` is its full text.

    `given`: the subject that the published data names, where it names another one (docs/subjects.md).
    """

    subject: str | None
    prompt: str
    object: str
    given: str | None = None

    def subject_under(self, protocol: str) -> str | None:
        """Its subject: as published under `released`, as its prompt's template tells under `corrected`."""
        return self.given or self.subject if PROTOCOLS[protocol].given_subjects else self.subject


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

    def text(self, field: str) -> str:
        found = self.get(field).strip()
        if not found:
            raise InputError(f"{self.where}: field {field} is empty")
        return found

    def texts(self, field: str) -> tuple[str, ...]:
        found = self.get(field, list)
        if not all(isinstance(text, str) and text.strip() and is_unicode(text) for text in found):
            raise InputError(f"{self.where}: field {field}: expected a list of non-empty strings of Unicode")
        return tuple(found)

    def case_id(self) -> int:
        found = self.get("case_id", int)
        if not 0 <= found < 2**63:
            raise InputError(f"{self.where}: field case_id: expected a number from 0 to 2^63 - 1")
        return found

    def template(self, field: str, subject: str) -> str:
        """The text of a field with ``{}`` in place of its subject, which has to stand in it once."""
        text = self.text(field)
        template = text.replace(subject, "{}")
        if text.count(subject) != 1:
            raise InputError(
                f"{self.where}: field {field}: expected the subject {subject!r} once, found {text!r}"
            )
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
    sizes: tuple[int, ...]  # cases of each file
    fixed_roles: bool  # the file itself says which neighbor assists: each case's first
    dropped: int  # neighbors whose subject could not be told from their text


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


def by_file(facts: Sequence[Fact], sizes: Sequence[int]) -> list[list[int]]:
    """The case_ids of each file of a dataset, whose facts follow one another; `sizes`: cases of each."""
    stops = list(accumulate(sizes))
    return [
        [fact.case_id for fact in facts[stop - size : stop]] for stop, size in zip(stops, sizes, strict=True)
    ]
