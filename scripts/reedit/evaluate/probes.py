"""What is asked of a model to score an edit: prompts with target_new, and with what it is compared to.

Design, section 4 (Scores) and section 5 (reference objects, ZsRE, left padding on GPT-2).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from transformers import PreTrainedTokenizerBase

from reedit.models.language_model import LanguageModel
from reedit.models.likelihood import greedy_continuations, likelihoods
from reedit.models.tokens import LabelledRow, encode, joint_row, loose_row
from reedit.prepare.facts import Fact, Neighbor
from reedit.prepare.zsre import NO_ANSWER


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


def make_probes(
    model: LanguageModel, facts: Sequence[Fact], neighbors: Mapping[int, Sequence[Neighbor]], protocol: str
) -> list[Probe]:
    """The probes of all cases, in order; the model must be unedited.

    `neighbors` gives each case's evaluating neighbors. corrected: the reference of specificity is the
    unedited model's greedy answer, as long as the neighbor's object; where the true object is not known
    (ZsRE), that of the other metrics is its answer, too, as long as target_new. released: the dataset's.
    """
    probes: list[Probe] = []
    for fact in facts:
        if protocol == "released":
            probes += _released_probes(model, fact, neighbors[fact.case_id])
        else:
            probes += _probes(model.tokenizer, fact, neighbors[fact.case_id])
    return _with_unedited_answers(model, probes)


def _probes(tokenizer: PreTrainedTokenizerBase, fact: Fact, neighbors: Sequence[Neighbor]) -> list[Probe]:
    where, known = f"case {fact.case_id}", fact.target_true != NO_ANSWER
    probes = []
    for metric, prompt in asked(fact):
        new = joint_row(tokenizer, prompt, fact.target_new, where)
        reference = joint_row(tokenizer, prompt, fact.target_true, where) if known else new
        probes.append(Probe(fact.case_id, metric, prompt, new, reference, own_answer=not known))
    for neighbor in neighbors:
        new = joint_row(tokenizer, neighbor.prompt, fact.target_new, where)
        reference = joint_row(tokenizer, neighbor.prompt, neighbor.object, where)
        probes.append(Probe(fact.case_id, "specificity", neighbor.prompt, new, reference, own_answer=True))
    return probes


def asked(fact: Fact) -> list[tuple[str, str]]:
    """Metric and prompt, of the edited fact itself."""
    bare = ("efficacy", fact.prompt.replace("{}", fact.subject))
    return [bare, *(("generalization", paraphrase) for paraphrase in fact.paraphrases)]


def _released_probes(model: LanguageModel, fact: Fact, neighbors: Sequence[Neighbor]) -> list[Probe]:
    """As the published code asks (design, section 5): a case's prompts of one metric are one batch."""
    tokenizer, where, known = model.tokenizer, f"case {fact.case_id}", fact.target_true != NO_ANSWER
    probes = []
    for metric, prompt in asked(fact):
        new = joint_row(tokenizer, prompt, fact.target_new, where)
        reference = joint_row(tokenizer, prompt, fact.target_true, where)
        if not known:
            reference = _without_padding(reference, tokenizer.eos_token_id)
        probes.append(Probe(fact.case_id, metric, prompt, new, reference, published=True))
    row = joint_row if known else loose_row
    for neighbor in neighbors if known else _pieces(tokenizer, neighbors):
        new = row(tokenizer, neighbor.prompt, fact.target_new, where)
        reference = row(tokenizer, neighbor.prompt, neighbor.object, where)
        probes.append(Probe(fact.case_id, "specificity", neighbor.prompt, new, reference, published=True))
    return _left_padded(probes) if model.layout.positions else probes


def _without_padding(row: LabelledRow, padding: int) -> LabelledRow:
    """Labels that the published code reads: one fewer at the start for each that it takes for padding.

    It pads with the end of text and counts that token, so that of " <|endoftext|>" the space goes unread.
    """
    return replace(row, labels=row.labels[row.labels.count(padding) :] or row.labels)


def _pieces(tokenizer: PreTrainedTokenizerBase, neighbors: Sequence[Neighbor]) -> list[Neighbor]:
    """ZsRE's neighbors token by token: each token of the object is asked for after those before it."""
    pieces = []
    for neighbor in neighbors:
        ids = tokenizer(neighbor.object, add_special_tokens=False)["input_ids"]
        for i, token in enumerate(ids):
            prompt = neighbor.prompt + tokenizer.decode(ids[:i])
            pieces.append(Neighbor(None, prompt, tokenizer.decode([token])))
    return pieces


def _left_padded(probes: Sequence[Probe]) -> list[Probe]:
    """Rows as the published code pads them: on the left, without telling the model the positions.

    It matters where positions are learned (GPT-2): the rows of a batch that are shorter than the longest
    one are read at later positions.
    """
    longest: dict[tuple[str, str], int] = {}
    for probe in probes:
        for side in ("new", "reference"):
            length = len(getattr(probe, side).ids)
            longest[probe.metric, side] = max(length, longest.get((probe.metric, side), 0))

    def shifted(probe: Probe, side: str) -> LabelledRow:
        row = getattr(probe, side)
        return replace(row, shift=longest[probe.metric, side] - len(row.ids))

    return [
        probe  # the bare prompt is a batch of its own for either target
        if probe.metric == "efficacy"
        else replace(probe, new=shifted(probe, "new"), reference=shifted(probe, "reference"))
        for probe in probes
    ]


def _with_unedited_answers(model: LanguageModel, probes: Sequence[Probe]) -> list[Probe]:
    """Fill in what the unedited model answers, and its argmax over the neighbors' reference objects."""
    filled = list(probes)
    own = [i for i, probe in enumerate(probes) if probe.own_answer]
    prompts = [encode(model.tokenizer, probes[i].prompt) for i in own]
    answers = greedy_continuations(model, prompts, [len(probes[i].reference.labels) for i in own])
    for i, prompt, answer in zip(own, prompts, answers, strict=True):
        row = LabelledRow((*prompt, *answer[:-1]), answer)
        filled[i] = replace(probes[i], reference=row, unedited=answer)
    neighbors = [
        i for i, probe in enumerate(filled) if probe.metric == "specificity" and not probe.own_answer
    ]
    said = likelihoods(model, [filled[i].reference for i in neighbors])
    for i, likelihood in zip(neighbors, said, strict=True):
        filled[i] = replace(filled[i], unedited=likelihood.argmax)
    return filled
