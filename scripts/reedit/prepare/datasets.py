"""The formats that a dataset can have, and what a file of another one is: told by its cases' fields."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from reedit.errors import InputError
from reedit.prepare.cases import Case, read_cases
from reedit.prepare.counterfact import counterfact_facts
from reedit.prepare.easyedit import easyedit_facts
from reedit.prepare.knowedit import knowedit_facts
from reedit.prepare.mquake import mquake_facts
from reedit.prepare.qaedit import qaedit_facts
from reedit.prepare.reading import Dataset
from reedit.prepare.ripple import ripple_facts
from reedit.prepare.simple_facts import simple_facts
from reedit.prepare.zsre import zsre_facts

FORMATS = {
    "counterfact": counterfact_facts,
    "zsre": zsre_facts,
    "easyedit": easyedit_facts,
    "knowedit": knowedit_facts,
    "mquake": mquake_facts,
    "qaedit": qaedit_facts,
    "ripple": ripple_facts,
}
LOOKED_AT = 50  # cases of a file


@dataclass(frozen=True)
class Form:
    """How the cases of a format look: fields that only they have, dotted, with [] where there is a list."""

    name: str
    fields: tuple[str, ...]
    format: str  # that reads it

    def has(self, case: Any) -> bool:
        return all(_has(case, field) for field in self.fields)


FORMS = (  # the first one that a case has is its own
    Form("MQuAKE", ("requested_rewrite[]", "questions[]"), "mquake"),
    Form("RippleEdits", ("example_type", "edit"), "ripple"),
    Form("KnowEdit (WikiBio)", ("labels", "concept", "text"), "knowedit"),
    Form("CounterFact", ("requested_rewrite.prompt",), "counterfact"),
    Form("CounterFact (eligible)", ("ground_truth", "locality.neighborhood"), "counterfact"),
    Form("ZsRE", ("src", "loc"), "zsre"),
    Form("QAEdit", ("target", "rephrase", "locality[]"), "qaedit"),
    Form("EasyEdit", ("target_new", "locality_prompt"), "easyedit"),
    Form("KnowEdit", ("target_new", "portability"), "knowedit"),
    Form("KnowEdit", ("target_new", "locality"), "knowedit"),
    Form("facts by hand", ("prompt", "target_new"), "simple"),
)


def _has(case: Any, field: str) -> bool:
    for key in field.removesuffix("[]").split("."):
        if not isinstance(case, dict) or key not in case:
            return False
        case = case[key]
    return isinstance(case, list) or not field.endswith("[]")


def forms_of(cases: Sequence[Case]) -> list[Form]:
    """The forms of a file's first cases, each once, the most frequent first; none where none is known."""
    found = [next((form for form in FORMS if form.has(case.value)), None) for case in cases[:LOOKED_AT]]
    known = [form for form in found if form]
    return sorted(dict.fromkeys(known), key=known.count, reverse=True)


def load_dataset(form: str, paths: Sequence[Path], malformed: str = "error") -> Dataset:
    """The facts of one file or several, in order; `form` is one of FORMATS.

    malformed: error raises InputError with the file, the case and the field of all cases that cannot be read;
    drop leaves them out. A file of another format is refused by that format's name.
    """
    files = [read_cases(path) for path in paths]
    for path, cases in zip(paths, files, strict=True):
        found = forms_of(cases)
        if found and form not in [one.format for one in found]:
            raise InputError(f"{path}: is in the form of {found[0].name}, expected format: {form}")
    return FORMATS[form](files, malformed)


def load_facts(path: Path, malformed: str = "error") -> Dataset:
    """The facts of a file, whose format is told by its cases: written down by hand, or one of FORMATS.

    Raises InputError as load_dataset.
    """
    cases = read_cases(path)
    found = forms_of(cases)
    read = FORMATS.get(found[0].format, simple_facts) if found else simple_facts
    return read([cases], malformed)
