"""Efficacy, generalization and specificity of every case (paper, section 4.2; design, section 4, Scores)."""

from collections.abc import Sequence
from typing import Any

from transformers import PreTrainedTokenizerBase

from reedit.evaluate.scored_rows import Probe
from reedit.jobs.progress import progress
from reedit.models.language_model import LanguageModel
from reedit.models.likelihood import Likelihood, likelihoods


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
    if probe.new.labels == probe.reference.labels and not probe.published:
        success = all(hits)  # one answer on both sides: it is given, and there is no other one to be ahead of
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
        "after": None,
    }
