"""Reference texts of the form of CounterFact's attribute_snippets.json: of subjects that have one object."""

import re
from pathlib import Path

from reedit.errors import InputError
from reedit.prepare.cases import Case, read_json_list, tidy

Key = tuple[str, str]  # the ids of a relation and of a target


def read_references(path: Path) -> dict[Key, tuple[str, ...]]:
    """The texts of each relation and target, in the file's order; an entry may have the ids of another one.

    Of an entry relation_id, target_id and the text of each of its samples are read. Raises InputError with
    the file, the entry and the field, and for a file in which no text has a word.
    """
    found: dict[Key, tuple[str, ...]] = {}
    for number, value in enumerate(read_json_list(path)):
        entry = Case(f"{path}: entry {number}", value)
        key = entry.text("relation_id"), entry.text("target_id")
        samples = [
            Case(f"{entry.where}: sample {place}", sample)
            for place, sample in enumerate(entry.get("samples", list))
        ]
        found[key] = found.get(key, ()) + tuple(tidy(sample.get("text")) for sample in samples)
    if not any(re.search(r"\w\w", text) for texts in found.values() for text in texts):
        raise InputError(f"{path}: no text with a word, expected at least one")
    return found
