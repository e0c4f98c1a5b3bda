"""Cases that cannot be edited beside each other, or whose edit changes more than their own fact.

Each fact by itself may be in order: only beside the others, or by where its subject stands, it is not.
"""

from collections.abc import Sequence

from reedit.models.tokens import Wording
from reedit.prepare.facts import Fact
from reedit.prepare.splits import Unfit


def contradictions(facts: Sequence[Fact]) -> list[Unfit]:
    """Facts that ask for another target than an earlier one of the same subject and prompt."""
    found, first = [], {}
    for fact in facts:
        other = first.setdefault(fact.text, fact)
        if other.target_new != fact.target_new:
            found.append(
                Unfit(
                    fact.case_id,
                    "conflict",
                    f"case {fact.case_id}: {fact.text!r} is to go on with {fact.target_new!r}, and in case"
                    f" {other.case_id} with {other.target_new!r}: both cannot hold",
                )
            )
    return found


def equal_keys(wording: Wording, facts: Sequence[Fact]) -> list[Unfit]:
    """Facts whose text up to the subject's last token is that of an earlier one.

    Their keys are one key but for rounding. An algorithm that writes every target exactly (EMMET) then
    divides by that rounding, and its updates are a million times too large.
    """
    found, first = [], {}
    for fact in facts:
        other = first.setdefault(tuple(wording.up_to(fact.text, fact.end)), fact)
        if other is not fact:
            found.append(
                Unfit(
                    fact.case_id,
                    "conflict",
                    f"case {fact.case_id}: begins with {fact.text[: fact.end]!r}, as case {other.case_id}:"
                    " their keys are equal, and this algorithm writes one target a key",
                )
            )
    return found


def named(cases: Sequence[int]) -> str:
    """Some cases by their numbers."""
    return f"case{'s' * (len(cases) > 1)} {', '.join(map(str, cases))}"


def repeated_subjects(facts: Sequence[Fact]) -> list[str]:
    """A line for each subject that several facts have: edits that follow each other write over it."""
    groups: dict[str, list[int]] = {}
    for fact in facts:
        groups.setdefault(fact.subject, []).append(fact.case_id)
    return [
        f"{named(cases)}: all edit the subject {subject!r}, one after the other; what a"
        " later one writes may undo an earlier one"
        for subject, cases in groups.items()
        if len(cases) > 1
    ]


def first_tokens(wording: Wording, facts: Sequence[Fact]) -> list[int]:
    """The cases whose subject's last token is the first token of all.

    Nothing stands before it, so that its key is nearly the same for every subject: what is written there is
    said of all of them (Yang et al. 2024, The fall of ROME). A tokenizer that begins every text with a token
    of its own has no such case.
    """
    return [fact.case_id for fact in facts if len(wording.up_to(fact.text, fact.end)) == 1]
