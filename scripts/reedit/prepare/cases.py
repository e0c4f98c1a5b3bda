"""Cases as JSON files have them: read, looked up by field, and their texts as they are put to a model."""

import json
import logging
import re
import unicodedata
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from reedit.errors import InputError, is_unicode, nearest

SHOWN = 3  # reasons in one line

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

    def listed(self, field: str, tidied: Callable[[str], str] = tidy) -> tuple[str, ...]:
        """The texts of a field that may be one text, a list of them, or not there."""
        value = self.value.get(field)
        if isinstance(value, str):
            return (self.text(field, tidied),)
        return () if value is None else self.texts(field, tidied)

    def own_id(self, field: str, position: int) -> int:
        """The case_id in a field; where there is none, the position."""
        return self.case_id(field) if self.has(field) else position

    def prompt(self, field: str) -> str:
        """The text of a field that holds one ``{}`` for the subject."""
        found = self.text(field, tidy_prompt)
        if found.count("{}") != 1:
            raise InputError(
                f"{self.where}: field {field}: expected exactly one {{}} for the subject, found {found!r}"
            )
        return found

    def case_id(self, field: str = "case_id") -> int:
        found = self.get(field, int)
        if not 0 <= found < 2**63:
            raise InputError(f"{self.where}: field {field}: expected a number from 0 to 2^63 - 1")
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

    def only(self, known: Sequence[str]) -> None:
        """InputError where it has a key that is none of these."""
        for key in self.value:
            if key not in known:
                raise InputError(f"{self.where}: unknown key {key!r}{nearest(key, known)}")


def read_cases(path: Path) -> list[Case]:
    """The cases of a JSON file; InputError where it holds none."""
    values = read_json_list(path)
    if not values:
        raise InputError(f"{path}: holds no case, expected at least one")
    return [Case(f"{path}: case {index}", value) for index, value in enumerate(values)]


def read_json_list(path: Path) -> list[Any]:
    """A JSON list, or InputError."""
    try:
        value = json.loads(Path(path).read_text(encoding="utf-8-sig"), object_pairs_hook=_each_once)
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


def _each_once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """A JSON object, which Python would read with the last of two values of a key."""
    found = dict(pairs)
    if len(found) < len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in found if names.count(name) > 1)
        raise ValueError(f"the key {twice!r} stands twice in an object, from {str(found)[:80]} on")
    return found


def in_one_line(reasons: Sequence[str], what: str) -> str:
    """One line for many reasons, the first of them in full; a single one speaks for itself."""
    if len(reasons) == 1:
        return reasons[0]
    for reason in reasons if len(reasons) > SHOWN else ():
        logging.getLogger("reedit").info("%s", reason)
    more = f"; and {len(reasons) - SHOWN} more, each with a line above" if len(reasons) > SHOWN else ""
    return f"{what}: {'; '.join(reasons[:SHOWN])}{more}"
