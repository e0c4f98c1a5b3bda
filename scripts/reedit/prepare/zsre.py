"""ZsRE in its released form: questions, each with a paraphrase and another question to be left alone.

Design, last lines of section 4; paper, section 4.1.
"""

from itertools import chain
from pathlib import Path

from reedit.errors import InputError
from reedit.prepare.facts import Case, Dataset, Fact, Neighbor, read_cases

# stands where no true object is known; the published code compares with this very text (design, section 5)
NO_ANSWER = "<|endoftext|>"


def load_zsre(*paths: Path) -> Dataset:
    """Read a ZsRE file, or several as one; a case_id is the position among all cases.

    target_new is the first of the answers (never ``alt``); the neighbor's prompt is ``loc`` as a question,
    its object ``loc_ans``. Raises InputError with the file, the case and the field.
    """
    files = [read_cases(path) for path in paths]
    facts = [_fact(case, case_id) for case_id, case in enumerate(chain.from_iterable(files))]
    return Dataset(tuple(facts), tuple(len(file) for file in files), fixed_roles=False, dropped=0)


def _fact(case: Case, case_id: int) -> Fact:
    subject = case.text("subject")
    answers = case.texts("answers")
    if not answers:
        raise InputError(f"{case.where}: field answers: holds none, expected at least one")
    if answers[0].strip() == NO_ANSWER:
        raise InputError(f"{case.where}: field answers: found {NO_ANSWER!r}, which stands for no answer")
    return Fact(
        case_id=case_id,
        relation="",
        subject=subject,
        prompt=case.template("src", subject),
        target_new=answers[0].strip(),
        target_true=NO_ANSWER,
        paraphrases=(case.text("rephrase"),),
        neighbors=(Neighbor(None, f"{case.text('loc')}?", case.text("loc_ans")),),
    )
