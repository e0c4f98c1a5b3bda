"""ZsRE in its released form: questions, each with a paraphrase and another question to be left alone.

Design, last lines of section 4; paper, section 4.1.
"""

from collections.abc import Sequence

from reedit.errors import InputError
from reedit.prepare.cases import Case, tidy_prompt
from reedit.prepare.facts import NO_ANSWER, Fact, Neighbor
from reedit.prepare.reading import Dataset, Read, read_each


def zsre_facts(files: Sequence[Sequence[Case]], malformed: str) -> Dataset:
    """The facts of ZsRE's cases, file by file; a case_id is the position among all cases.

    target_new is the first of the answers (never ``alt``); the neighbor's prompt is ``loc`` as a question,
    its object ``loc_ans``. Raises InputError with the file, the case and the field; see reading.read_each.
    """
    return read_each(files, lambda case, position: Read((_fact(case, position),)), malformed)


def _fact(case: Case, position: int) -> Fact:
    subject, answers = case.text("subject"), case.texts("answers")
    if not answers:
        raise InputError(f"{case.where}: field answers: holds none, expected at least one")
    if answers[0] == NO_ANSWER:
        raise InputError(f"{case.where}: field answers: found {NO_ANSWER!r}, which stands for no answer")
    question = tidy_prompt(f"{case.text('loc')}?")
    return Fact(
        case_id=position,
        relation="",
        subject=subject,
        prompt=case.template("src", subject),
        target_new=answers[0],
        target_true=NO_ANSWER,
        paraphrases=(case.text("rephrase", tidy_prompt),),
        neighbors=(Neighbor(None, question, case.text("loc_ans")),),
    )
