"""Which cases cannot be edited, assisted or scored with a tokenizer, told before any is sampled.

What does not align is left out under `corrected`; `released` takes tokens as they come (design, section 5),
so that hardly anything is impossible there.
"""

from collections.abc import Mapping, Sequence

from transformers import PreTrainedTokenizerBase

from reedit.edit.edits import Rows
from reedit.errors import InputError
from reedit.evaluate.scored_rows import scored_rows
from reedit.prepare.facts import Fact
from reedit.prepare.roles import assistants_of_any, evaluated_neighbors
from reedit.prepare.settings import SplitSettings
from reedit.prepare.splits import Alignment, FilterRows, Misaligned

PREFIXED = "Then. {}"  # stands for all prefix templates: after each one a prompt begins with a space


def alignment(tokenizer: PreTrainedTokenizerBase, settings: SplitSettings) -> Alignment:
    """What make_split asks of its cases."""

    def check(facts: Sequence[Fact], filtered: Mapping[int, FilterRows]) -> list[Misaligned]:
        asked = (settings.assisting, settings.protocols, settings.eligible)
        return misaligned(tokenizer, facts, filtered, *asked)

    return check


def misaligned(
    tokenizer: PreTrainedTokenizerBase,
    facts: Sequence[Fact],
    filtered: Mapping[int, FilterRows],
    assisting: Sequence[tuple[int, str]],
    protocols: Sequence[str],
    eligible: bool,
) -> list[Misaligned]:
    """The facts that do not align under one of the protocols, in order.

    `filtered`: the neighbor filter's rows by case (roles.by_case), empty where it did not run; `assisting`,
    `protocols` and `eligible`: as of an entry of `runs`. Each case is looked at bare and behind a prefix,
    then the neighbors that assist it, likewise, then the rows that score it.
    """
    found = (_misaligned(tokenizer, fact, filtered, assisting, protocols, eligible) for fact in facts)
    return [one for one in found if one]


def _misaligned(
    tokenizer: PreTrainedTokenizerBase,
    fact: Fact,
    filtered: Mapping[int, FilterRows],
    assisting: Sequence[tuple[int, str]],
    protocols: Sequence[str],
    eligible: bool,
) -> Misaligned | None:
    rows = filtered.get(fact.case_id, [])
    assistants = [fact.neighbors[i] for i in sorted(assistants_of_any(rows, assisting))]
    evaluating = evaluated_neighbors(fact, rows, eligible, assisting)
    role = "case"
    try:
        for protocol in protocols:
            for spaced in (True, False):  # whatever the algorithm
                Rows(tokenizer, protocol, [PREFIXED], spaced).edit(fact)
        role = "assistant"
        for protocol in protocols:
            for prefixed in (True, False) if assistants else ():
                Rows(tokenizer, protocol, [PREFIXED]).edit(fact, assistants, prefixed)
        role = "evaluation"
        for protocol in protocols:
            scored_rows(tokenizer, fact, evaluating, protocol)
    except InputError as error:
        return Misaligned(fact.case_id, role, str(error))
    return None


def misaligned_assistants(
    tokenizer: PreTrainedTokenizerBase, facts: Sequence[Fact], protocols: Sequence[str]
) -> list[Misaligned]:
    """Every neighbor of known subject that does not align in the loss, whoever of them comes to assist.

    The filter and the order say who assists; this is for a rehearsal, which has no word of the real model's.
    """
    found = []
    for fact in facts:
        for neighbor in fact.neighbors:
            try:
                for protocol in protocols if neighbor.subject is not None else ():
                    rows = Rows(tokenizer, protocol, where=f"case {fact.case_id}")
                    for template in ("{}", PREFIXED):
                        rows.assisting(neighbor, template)
            except InputError as error:
                found.append(Misaligned(fact.case_id, "assistant", str(error)))
    return found
