"""The rows that a case is scored by, as far as its tokens tell; probes.py adds what the unedited model says.

Design, section 4 (Scores) and section 5 (reference objects, ZsRE).
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from reedit.methods.protocols import PROTOCOLS
from reedit.models.tokens import LabelledRow, Wording
from reedit.prepare.facts import NO_ANSWER, Fact, Neighbor


@dataclass(frozen=True)
class Probe:
    """One prompt to be scored, with the rows of target_new and of the reference object.

    The reference is target_true, or the unedited model's own answer. `unedited` holds the unedited model's
    argmax over the reference's tokens, for specificity alone. `published`: asked as the published code asks.
    """

    case_id: int
    metric: str
    prompt: str
    new: LabelledRow
    reference: LabelledRow
    own_answer: bool = False  # whether the reference is to be the unedited model's own answer
    unedited: tuple[int, ...] | None = None
    published: bool = False


def scored_rows(wording: Wording, fact: Fact, neighbors: Sequence[Neighbor], protocol: str) -> list[Probe]:
    """The probes of one case, in order; `neighbors`: those that evaluate it.

    corrected: raises InputError, naming the case, where a target does not start a new token. released: as the
    published code, which counts off the prompt's tokens and asks for the rest (design, section 5).
    """
    return (_released if PROTOCOLS[protocol].loose_labels else _corrected)(wording, fact, neighbors)


def asked(fact: Fact) -> list[tuple[str, str]]:
    """Metric and prompt, of the edited fact itself."""
    bare = ("efficacy", fact.text)
    return [bare, *(("generalization", paraphrase) for paraphrase in fact.paraphrases)]


def _corrected(wording: Wording, fact: Fact, neighbors: Sequence[Neighbor]) -> list[Probe]:
    where, known = f"case {fact.case_id}", fact.target_true != NO_ANSWER
    probes = []
    for metric, prompt in asked(fact):
        new = wording.joint(prompt, fact.target_new, where)
        reference = wording.joint(prompt, fact.target_true, where) if known else new
        probes.append(Probe(fact.case_id, metric, prompt, new, reference, own_answer=not known))
    for neighbor in neighbors:
        new = wording.joint(neighbor.prompt, fact.target_new, where)
        reference = wording.joint(neighbor.prompt, neighbor.object, where)
        probes.append(Probe(fact.case_id, "specificity", neighbor.prompt, new, reference, own_answer=True))
    return probes


def _released(wording: Wording, fact: Fact, neighbors: Sequence[Neighbor]) -> list[Probe]:
    where, known = f"case {fact.case_id}", fact.target_true != NO_ANSWER
    probes = []
    for metric, prompt in asked(fact):
        new = wording.loose(prompt, fact.target_new, where)
        reference = wording.loose(prompt, fact.target_true, where)
        if not known:
            reference = _without_padding(reference, wording.tokenizer.eos_token_id)
        probes.append(Probe(fact.case_id, metric, prompt, new, reference, published=True))
    for neighbor in neighbors if known else _pieces(wording, neighbors):
        new = wording.loose(neighbor.prompt, fact.target_new, where)
        reference = wording.loose(neighbor.prompt, neighbor.object, where)
        probes.append(Probe(fact.case_id, "specificity", neighbor.prompt, new, reference, published=True))
    return probes


def _without_padding(row: LabelledRow, padding: int) -> LabelledRow:
    """Labels that the published code reads: one fewer at the start for each that it takes for padding.

    It pads with the end of text and counts that token, so that of " <|endoftext|>" the space goes unread.
    """
    return replace(row, labels=row.labels[row.labels.count(padding) :] or row.labels)


def _pieces(wording: Wording, neighbors: Sequence[Neighbor]) -> list[Neighbor]:
    """ZsRE's neighbors token by token: each token of the object is asked for after those before it."""
    pieces = []
    for neighbor in neighbors:
        ids = wording.tokenizer(neighbor.object, add_special_tokens=False)["input_ids"]
        for i, token in enumerate(ids):
            prompt = neighbor.prompt + wording.tokenizer.decode(ids[:i])
            pieces.append(Neighbor(None, prompt, wording.tokenizer.decode([token])))
    return pieces
