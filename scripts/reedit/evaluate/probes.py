"""What is asked of a model to score an edit: prompts with target_new, and with what it is compared to.

Design, section 4 (Scores) and section 5 (reference objects, ZsRE, left padding on GPT-2).
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace

from reedit.evaluate.scored_rows import Probe, scored_rows
from reedit.methods.protocols import PROTOCOLS
from reedit.models.language_model import LanguageModel
from reedit.models.likelihood import greedy_continuations, likelihoods
from reedit.models.tokens import LabelledRow
from reedit.prepare.facts import Fact, Neighbor


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
        of_case = scored_rows(model.wording, fact, neighbors[fact.case_id], protocol)
        padded = PROTOCOLS[protocol].left_padding and model.layout.positions
        probes += _left_padded(of_case) if padded else of_case
    return _with_unedited_answers(model, probes)


def _left_padded(probes: Sequence[Probe]) -> list[Probe]:
    """Rows as the published code pads them: on the left, without telling the model the positions.

    A case's prompts of one metric are one batch. It matters where positions are learned (GPT-2): the rows of
    a batch that are shorter than the longest one are read at later positions.
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
    prompts = [model.wording.encode(probes[i].prompt) for i in own]
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
