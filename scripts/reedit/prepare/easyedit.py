"""Facts as EasyEdit's counterfact-edit has them: a prompt, its rephrasing, one prompt to be left alone."""

from collections.abc import Sequence

from reedit.errors import InputError
from reedit.prepare.cases import Case, tidy_prompt
from reedit.prepare.facts import NO_ANSWER, Fact, Neighbor
from reedit.prepare.groups import asked
from reedit.prepare.reading import Dataset, Read, read_each


def easyedit_facts(files: Sequence[Sequence[Case]], malformed: str) -> Dataset:
    """The facts of such cases, file by file; a case_id is the case's, or its position.

    locality_prompt is a neighbor, whose subject is not known; portability_prompt, where there is one, is the
    group one_hop. Raises InputError with the file, the case and the field; see reading.read_each.
    """
    return read_each(files, _read, malformed)


def _read(case: Case, position: int) -> Read:
    subject = case.text("subject")
    local = _pairs(case, "locality_prompt", "locality_ground_truth")
    further = _pairs(case, "portability_prompt", "portability_ground_truth")
    true = case.listed("ground_truth")
    fact = Fact(
        case_id=case.own_id("case_id", position),
        relation="",
        subject=subject,
        prompt=case.template("prompt", subject),
        target_new=case.text("target_new"),
        target_true=true[0] if true else NO_ANSWER,
        paraphrases=case.listed("rephrase_prompt", tidy_prompt),
        neighbors=tuple(Neighbor(None, prompt, answer) for prompt, answer in local),
    )
    return Read((fact,), [asked("one_hop", prompt, [answer]) for prompt, answer in further])


def _pairs(case: Case, prompts: str, answers: str) -> list[tuple[str, str]]:
    """The prompts of one field with the answers of another."""
    asked_for, given = case.listed(prompts, tidy_prompt), case.listed(answers)
    if len(asked_for) != len(given):
        raise InputError(
            f"{case.where}: field {answers}: found {len(given)}, expected {len(asked_for)}, as {prompts} has"
        )
    return list(zip(asked_for, given, strict=True))
