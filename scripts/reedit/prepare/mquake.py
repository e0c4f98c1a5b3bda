"""MQuAKE: several facts a case, and multi-hop questions that follow from them (Zhong et al. 2023)."""

from collections.abc import Sequence
from itertools import chain

from reedit.errors import InputError
from reedit.prepare.cases import Case, tidy_prompt
from reedit.prepare.facts import Fact
from reedit.prepare.groups import Premise, asked
from reedit.prepare.reading import Dataset, Read, read_each

MULTI_HOP = "multi_hop"
LARGEST = 2**48  # of a case_id: those of a case's further facts have to be numbers of 64 bits, too


def mquake_facts(files: Sequence[Sequence[Case]], malformed: str) -> Dataset:
    """The facts of such cases (CF, CF-3k, T), file by file; those of one case are edited together.

    A case's first fact has its case_id, the n-th of the others that plus n times a number larger than all.
    A fact's question is its paraphrase; no neighbors are known. The group multi_hop has the case's questions
    with the new answer and its aliases. Its premises are the hops of the new chain that are not edited.
    Raises InputError with the file, the case and the field; see reading.read_each.
    """
    known = [case.value.get("case_id") for case in chain.from_iterable(files)]
    step = 1 + max((one for one in known if isinstance(one, int) and one < LARGEST), default=0)

    def read(case: Case, _: int) -> Read:
        return _read(case, step)

    return read_each(files, read, malformed)


def _read(case: Case, step: int) -> Read:
    rewrites = case.get("requested_rewrite", list)
    if not rewrites:
        raise InputError(f"{case.where}: field requested_rewrite: holds none, expected at least one")
    own = case.case_id()
    if own >= LARGEST:
        raise InputError(
            f"{case.where}: field case_id: expected less than {LARGEST}, where a case has several facts"
        )
    facts = tuple(
        _fact(Case(f"{case.where}: requested_rewrite {number}", rewrite), own + number * step)
        for number, rewrite in enumerate(rewrites)
    )
    premises = _unedited_hops(case, {fact.text for fact in facts})
    answers = (case.text("new_answer"), *case.listed("new_answer_alias"))
    questions = case.texts("questions", tidy_prompt)
    return Read(facts, [asked(MULTI_HOP, question, answers, premises=premises) for question in questions])


def _fact(rewrite: Case, case_id: int) -> Fact:
    return Fact(
        case_id=case_id,
        relation=rewrite.text("relation_id"),
        subject=rewrite.text("subject"),
        prompt=rewrite.prompt("prompt"),
        target_new=rewrite.text("target_new.str"),
        target_true=rewrite.text("target_true.str"),
        paraphrases=rewrite.listed("question", tidy_prompt),
        neighbors=(),
    )


def _unedited_hops(case: Case, edited: set[str]) -> list[Premise] | None:
    """The hops of the new chain whose statement is not `edited`; None where the case tells no hops."""
    if not case.has("new_single_hops"):
        return None
    hops = [
        Case(f"{case.where}: new_single_hops {number}", value)
        for number, value in enumerate(case.get("new_single_hops", list))
    ]
    return [
        Premise(hop.text("question", tidy_prompt), (hop.text("answer"), *hop.listed("answer_alias")))
        for hop in hops
        if hop.text("cloze", tidy_prompt) not in edited
    ]
