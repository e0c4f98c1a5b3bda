"""Scores of a case by their definitions, from passes of one row."""

from pathlib import Path

import pytest
import torch
from naive import log_probabilities, naive_greedy
from tiny import WIDTH, tiny_model

from reedit import parquet
from reedit.facts import Fact, Neighbor
from reedit.language_model import LanguageModel
from reedit.scoring import make_probes, score


def said(model: LanguageModel, prompt: str, target: str) -> tuple[list[int], list[int], float]:
    """Labels of the target after the prompt, the argmax at their places, and their mean log probability."""
    start = len(model.tokenizer(prompt)["input_ids"])
    whole = model.tokenizer(f"{prompt} {target}")["input_ids"]
    with torch.no_grad():
        log_p = log_probabilities(model.model, whole[:-1])[start - 1 :]
    labels = whole[start:]
    mean = sum(float(log_p[j, label]) for j, label in enumerate(labels)) / len(labels)
    return labels, log_p.argmax(-1).tolist(), mean


def changed(model: LanguageModel, seed: int = 1) -> None:
    """Another model: noise on an edited weight."""
    noise = torch.randn(model.weight(3).shape, generator=torch.Generator().manual_seed(seed))
    model.set_weight(3, model.weight(3) + noise)
    assert noise.shape[0] == WIDTH


def neighbors_of(facts: list[Fact]) -> dict[int, list[Neighbor]]:
    return {fact.case_id: list(fact.neighbors[1:]) for fact in facts}


@pytest.mark.parametrize("own_answer", [True, False])
def test_scores_follow_their_definitions(own_answer: bool, tiny_dataset: list[Fact], tmp_path: Path) -> None:
    model, unedited = tiny_model("llama"), tiny_model("llama")
    facts = [tiny_dataset[i] for i in (9, 0, 15)]
    probes = make_probes(model, facts, neighbors_of(facts), own_answer)
    changed(model)
    rows = score(model, probes, 2)
    parquet.write(rows, tmp_path / "scores.parquet", "scores", {})
    asked = []
    for fact in facts:
        asked.append((fact, "efficacy", fact.prompt.replace("{}", fact.subject), fact.target_true))
        asked += [(fact, "generalization", prompt, fact.target_true) for prompt in fact.paraphrases]
        asked += [(fact, "specificity", n.prompt, n.object) for n in fact.neighbors[1:]]
    assert len(rows) == len(asked) == 3 * (1 + 2 + 2)
    for row, (fact, metric, prompt, reference) in zip(rows, asked, strict=True):
        assert (row["k"], row["case_id"], row["metric"], row["prompt"]) == (2, fact.case_id, metric, prompt)
        labels, argmax, logp_new = said(model, prompt, fact.target_new)
        if metric == "specificity":
            tokens, before, _ = said(unedited, prompt, reference)
            ids = model.tokenizer(prompt)["input_ids"]
            if own_answer:
                tokens = before = naive_greedy(unedited.model, ids, len(tokens))
            with torch.no_grad():
                log_p = log_probabilities(model.model, [*ids, *tokens[:-1]])[len(ids) - 1 :]
            argmax, labels = log_p.argmax(-1).tolist(), before
            logp_true = sum(float(log_p[j, t]) for j, t in enumerate(tokens)) / len(tokens)
            success = logp_true > logp_new
        else:
            logp_true = said(model, prompt, reference)[2]
            success = logp_new > logp_true
        hits = [a == b for a, b in zip(argmax, labels, strict=True)]
        assert row["accuracy"] == pytest.approx(sum(hits) / len(hits))
        assert row["exact_match"] == float(all(hits))
        assert row["success"] == float(success)
        assert row["logp_new"] == pytest.approx(logp_new, rel=1e-5)
        assert row["logp_true"] == pytest.approx(logp_true, rel=1e-5)
        assert row["predicted"] == model.tokenizer.decode(argmax).strip()


@pytest.mark.parametrize("own_answer", [True, False])
def test_the_unedited_model_changes_no_answer(own_answer: bool, tiny_dataset: list[Fact]) -> None:
    model, facts = tiny_model("llama"), tiny_dataset[:6]
    probes = make_probes(model, facts, neighbors_of(facts), own_answer)
    rows = [row for row in score(model, probes, 0) if row["metric"] == "specificity"]
    assert rows and all(row["accuracy"] == row["exact_match"] == 1.0 for row in rows)


def test_probes_are_fixed_by_the_unedited_model(tiny_dataset: list[Fact]) -> None:
    """An edited model is judged by the unedited one's answers, and may change some."""
    model, facts = tiny_model("llama"), tiny_dataset[:6]
    probes = make_probes(model, facts, neighbors_of(facts), True)
    changed(model)
    rows = [row for row in score(model, probes, 1) if row["metric"] == "specificity"]
    assert any(row["accuracy"] < 1 for row in rows)


def test_a_case_without_paraphrases_or_neighbors_has_its_efficacy(llama: LanguageModel) -> None:
    fact = Fact(1, "r", "Kyoto", "{} lies in", "Italy", "Japan", (), ())
    rows = score(llama, make_probes(llama, [fact], {1: []}, True), 0)
    assert [row["metric"] for row in rows] == ["efficacy"]


def test_a_tie_is_no_success(llama: LanguageModel) -> None:
    fact = Fact(
        1, "r", "Kyoto", "{} lies in", "Italy", "Italy", (), (Neighbor(None, "Rome lies in", "Italy"),)
    )
    rows = score(llama, make_probes(llama, [fact], {1: list(fact.neighbors)}, False), 0)
    assert [row["success"] for row in rows] == [0.0, 0.0]
