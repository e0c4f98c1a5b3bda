"""Which cases cannot be edited, assisted or scored with a tokenizer, told before any is sampled.

What does not align is left out under `corrected`; `released` takes tokens as they come (design, section 5),
so that hardly anything is impossible there.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from reedit.edit.edits import Rows
from reedit.errors import InputError
from reedit.evaluate.scored_rows import scored_rows
from reedit.models.tokens import LabelledRow, Wording
from reedit.prepare.facts import Fact
from reedit.prepare.roles import assistants_of_any, evaluated_neighbors
from reedit.prepare.splits import FilterRows, Unfit

PREFIXED = "Then. {}"  # stands for all prefix templates: after each one a prompt begins with a space


@dataclass(frozen=True)
class Asked:
    """What the runs of an entry ask of their cases."""

    protocols: Sequence[str]
    assisting: Sequence[tuple[int, str]] = ()  # (count, choice) of each assisted method
    eligible: bool = False
    subject_end: str | None = None
    longest: int | None = None  # tokens that the model reads


def misaligned(
    wording: Wording, facts: Sequence[Fact], filtered: Mapping[int, FilterRows], asked: Asked
) -> list[Unfit]:
    """The facts that do not align under one of the protocols, or are too long, in order.

    `filtered`: the neighbor filter's rows by case (roles.by_case), empty where it did not run. Each case is
    looked at bare and behind a prefix, then the neighbors that assist it, likewise, then the rows that score
    it.
    """
    found = (_misaligned(wording, fact, filtered.get(fact.case_id, []), asked) for fact in facts)
    return [one for one in found if one]


def _misaligned(wording: Wording, fact: Fact, filtered: FilterRows, asked: Asked) -> Unfit | None:
    assistants = [fact.neighbors[i] for i in sorted(assistants_of_any(filtered, asked.assisting))]
    evaluating = evaluated_neighbors(fact, filtered, asked.eligible, asked.assisting)
    role = "case"

    def check_length(row: LabelledRow) -> None:
        if asked.longest is not None:
            wording.check_length(row.ids, asked.longest, f"case {fact.case_id}")

    try:
        for protocol in asked.protocols:
            for spaced in (True, False):  # whatever the algorithm
                edit = Rows(wording, protocol, [PREFIXED], spaced, asked.subject_end).edit(fact)
                check_length(edit.rewriting[0].row)
        role = "assistant"
        for protocol in asked.protocols:
            rows = Rows(wording, protocol, [PREFIXED], subject_end=asked.subject_end)
            for prefixed in (True, False) if assistants else ():
                rows.edit(fact, assistants, prefixed)
        role = "evaluation"
        for protocol in asked.protocols:
            for probe in scored_rows(wording, fact, evaluating, protocol):
                check_length(probe.new)
                check_length(probe.reference)
    except InputError as error:
        return Unfit(fact.case_id, role, str(error))
    return None


def misaligned_assistants(wording: Wording, facts: Sequence[Fact], protocols: Sequence[str]) -> list[Unfit]:
    """Every neighbor of known subject that does not align in the loss, whoever of them comes to assist.

    The filter and the order say who assists; this is for a rehearsal, which has no word of the real model's.
    """
    found = []
    for fact in facts:
        for neighbor in fact.neighbors:
            try:
                for protocol in protocols if neighbor.subject is not None else ():
                    rows = Rows(wording, protocol, where=f"case {fact.case_id}")
                    for template in ("{}", PREFIXED):
                        rows.assisting(neighbor, template)
            except InputError as error:
                found.append(Unfit(fact.case_id, "assistant", str(error)))
    return found
