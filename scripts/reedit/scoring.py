"""Efficacy, generalization and specificity of every case (paper, section 4.2; design, section 4, Scores)."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from transformers import PreTrainedTokenizerBase

from reedit.facts import Fact, Neighbor
from reedit.language_model import LanguageModel
from reedit.likelihood import Likelihood, greedy_continuations, likelihoods
from reedit.progress import progress
from reedit.tokens import LabelledRow, encode, joint_row


@dataclass(frozen=True)
class Probe:
    """One prompt to be scored, with the rows of target_new and of the reference object.

    The reference is target_true; for specificity it may be the unedited model's own answer. `unedited`
    holds the unedited model's argmax over the reference's tokens, for specificity alone.
    """

    case_id: int
    metric: str
    prompt: str
    new: LabelledRow
    reference: LabelledRow
    unedited: tuple[int, ...] | None = None


def make_probes(
    model: LanguageModel,
    facts: Sequence[Fact],
    neighbors: dict[int, list[Neighbor]],
    own_answer: bool,
) -> list[Probe]:
    """The probes of all cases, in order; the model must be unedited.

    `neighbors` gives each case's evaluating neighbors. `own_answer`: the reference object of specificity is
    the unedited model's own greedy answer, as long as the neighbor's object (corrected protocol);
    otherwise the dataset's object.
    """
    tokenizer = model.tokenizer
    probes: list[Probe] = []
    for fact in facts:
        where = f"case {fact.case_id}"
        asked = [("efficacy", fact.prompt.replace("{}", fact.subject))]
        asked += [("generalization", paraphrase) for paraphrase in fact.paraphrases]
        probes += [
            Probe(
                fact.case_id,
                metric,
                prompt,
                joint_row(tokenizer, prompt, fact.target_new, where),
                joint_row(tokenizer, prompt, fact.target_true, where),
            )
            for metric, prompt in asked
        ]
        probes += [
            Probe(
                fact.case_id,
                "specificity",
                neighbor.prompt,
                joint_row(tokenizer, neighbor.prompt, fact.target_new, where),
                joint_row(tokenizer, neighbor.prompt, neighbor.object, where),
            )
            for neighbor in neighbors[fact.case_id]
        ]
    return _with_unedited_answers(model, probes, own_answer)


def _with_unedited_answers(model: LanguageModel, probes: list[Probe], own_answer: bool) -> list[Probe]:
    """Fill in what the unedited model says of the neighbors."""
    places = [i for i, probe in enumerate(probes) if probe.metric == "specificity"]
    references = [probes[i].reference for i in places]
    if own_answer:
        prompts = [encode(model.tokenizer, probes[i].prompt) for i in places]
        answers = greedy_continuations(model, prompts, [len(row.labels) for row in references])
        references = [
            LabelledRow((*prompt, *answer[:-1]), answer)
            for prompt, answer in zip(prompts, answers, strict=True)
        ]
    said = likelihoods(model, references)
    filled = list(probes)
    for i, reference, likelihood in zip(places, references, said, strict=True):
        probe = probes[i]
        filled[i] = Probe(probe.case_id, probe.metric, probe.prompt, probe.new, reference, likelihood.argmax)
    return filled


def score(model: LanguageModel, probes: Sequence[Probe], k: int) -> list[dict[str, Any]]:
    """Rows of the schema ``scores`` for the model as it is, one a probe, in order."""
    rows = [probe.new for probe in probes] + [probe.reference for probe in probes]
    said = likelihoods(model, rows, report=progress(f"k={k} scores, rows", len(rows)))
    return [
        _score_row(model.tokenizer, probe, k, new, reference)
        for probe, new, reference in zip(probes, said[: len(probes)], said[len(probes) :], strict=True)
    ]


def _score_row(
    tokenizer: PreTrainedTokenizerBase, probe: Probe, k: int, new: Likelihood, reference: Likelihood
) -> dict[str, Any]:
    if probe.metric == "specificity":
        said, expected = reference.argmax, probe.unedited
        success = reference.mean_logp > new.mean_logp
    else:
        said, expected = new.argmax, probe.new.labels
        success = new.mean_logp > reference.mean_logp
    hits = [a == b for a, b in zip(said, expected, strict=True)]
    return {
        "k": k,
        "case_id": probe.case_id,
        "metric": probe.metric,
        "prompt": probe.prompt,
        "accuracy": sum(hits) / len(hits),
        "success": float(success),
        "exact_match": float(all(hits)),
        "logp_new": new.mean_logp,
        "logp_true": reference.mean_logp,
        "predicted": tokenizer.decode(said).strip(),
    }
