"""QAEdit: questions whose answers a model is taught (Yang et al. 2025, The mirage of model editing)."""

from collections.abc import Sequence

from reedit.prepare.cases import Case, tidy_prompt
from reedit.prepare.facts import NO_ANSWER, Fact, Neighbor
from reedit.prepare.reading import Dataset, Read, read_each


def qaedit_facts(files: Sequence[Sequence[Case]], malformed: str) -> Dataset:
    """The facts of such cases, file by file; a case_id is the position: their ids come twice.

    Each locality is a neighbor, whose subject is not known; nobody knows another true answer. Raises
    InputError with the file, the case and the field; see reading.read_each.
    """
    return read_each(files, _read, malformed)


def _read(case: Case, position: int) -> Read:
    subject = case.text("subject")
    local = [
        Case(f"{case.where}: locality {number}", value)
        for number, value in enumerate(case.get("locality", list))
    ]
    fact = Fact(
        case_id=position,
        relation=case.text("source") if case.has("source") else "",
        subject=subject,
        prompt=case.template("prompt", subject),
        target_new=case.text("target"),
        target_true=NO_ANSWER,
        paraphrases=case.listed("rephrase", tidy_prompt),
        neighbors=tuple(Neighbor(None, one.text("loc", tidy_prompt), one.text("loc_ans")) for one in local),
    )
    return Read((fact,))
