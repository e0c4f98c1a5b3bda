"""Scores of a case by their definitions, from passes of one row."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from naive import log_probabilities, naive_greedy
from tiny import WIDTH, tiny_model

from reedit.evaluate.probes import make_probes
from reedit.evaluate.scored_rows import Probe
from reedit.evaluate.scoring import score
from reedit.models.language_model import LanguageModel
from reedit.models.tokens import LabelledRow
from reedit.prepare.facts import NO_ANSWER, Fact, Neighbor
from reedit.storage import parquet


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


@pytest.mark.parametrize("protocol", ["corrected", "released"])
def test_scores_follow_their_definitions(protocol: str, tiny_dataset: list[Fact], tmp_path: Path) -> None:
    model, unedited = tiny_model("llama"), tiny_model("llama")
    facts = [tiny_dataset[i] for i in (9, 0, 15)]
    probes = make_probes(model, facts, neighbors_of(facts), protocol)
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
            if protocol == "corrected":
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


@pytest.mark.parametrize("protocol", ["corrected", "released"])
def test_the_unedited_model_changes_no_answer(protocol: str, tiny_dataset: list[Fact]) -> None:
    model, facts = tiny_model("llama"), tiny_dataset[:6]
    probes = make_probes(model, facts, neighbors_of(facts), protocol)
    rows = [row for row in score(model, probes, 0) if row["metric"] == "specificity"]
    assert rows and all(row["accuracy"] == row["exact_match"] == 1.0 for row in rows)


def test_probes_are_fixed_by_the_unedited_model(tiny_dataset: list[Fact]) -> None:
    """An edited model is judged by the unedited one's answers, and may change some."""
    model, facts = tiny_model("llama"), tiny_dataset[:6]
    probes = make_probes(model, facts, neighbors_of(facts), "corrected")
    changed(model)
    rows = [row for row in score(model, probes, 1) if row["metric"] == "specificity"]
    assert any(row["accuracy"] < 1 for row in rows)


def test_a_case_without_paraphrases_or_neighbors_has_its_efficacy(llama: LanguageModel) -> None:
    fact = Fact(1, "r", "Kyoto", "{} lies in", "Italy", "Japan", (), ())
    rows = score(llama, make_probes(llama, [fact], {1: []}, "corrected"), 0)
    assert [row["metric"] for row in rows] == ["efficacy"]


def test_a_tie_is_no_success(llama: LanguageModel) -> None:
    fact = Fact(
        1, "r", "Kyoto", "{} lies in", "Italy", "Italy", (), (Neighbor(None, "Rome lies in", "Italy"),)
    )
    rows = score(llama, make_probes(llama, [fact], {1: list(fact.neighbors)}, "released"), 0)
    assert [row["success"] for row in rows] == [0.0, 0.0]


@pytest.mark.parametrize("metric", ["efficacy", "generalization", "specificity"])
def test_one_answer_on_both_sides_is_a_success_as_long_as_it_is_given(
    llama: LanguageModel, metric: str
) -> None:
    ids = tuple(llama.tokenizer("Osaka is a city")["input_ids"])
    said_before = tuple(naive_greedy(llama.model, list(ids), 1))
    row = LabelledRow(ids, said_before)
    probe = Probe(3, metric, "Osaka is a city", row, row, unedited=said_before)
    assert score(llama, [probe], 0)[0]["success"] == 1.0
    gone = replace(row, labels=(said_before[0] + 1,))
    changed_answer = replace(probe, new=gone, reference=gone, unedited=gone.labels)
    assert score(llama, [changed_answer], 1)[0]["success"] == 0.0
    assert score(llama, [replace(probe, published=True)], 0)[0]["success"] == 0.0  # as the published code


@pytest.mark.parametrize(("protocol", "success"), [("corrected", 1.0), ("released", 0.0)])
def test_a_neighbor_whose_unedited_answer_is_the_new_object_keeps_it(protocol: str, success: float) -> None:
    model, prompt = tiny_model("llama"), "Osaka is a city in"
    answer = naive_greedy(model.model, model.tokenizer(prompt)["input_ids"], 1)
    word = model.tokenizer.decode(answer).strip()
    fact = Fact(1, "r", "Kyoto", "{} lies in", word, "Japan", (), (Neighbor(None, prompt, word),))
    probes = make_probes(model, [fact], {1: list(fact.neighbors)}, protocol)
    assert probes[1].new.labels == probes[1].reference.labels == tuple(answer)
    (row,) = [row for row in score(model, probes, 0) if row["metric"] == "specificity"]
    assert (row["accuracy"], row["success"]) == (1.0, success)


QUESTION = Fact(
    *(3, "", "Kyoto", "What lies {} in?", "Italy", NO_ANSWER, ("Where is Kyoto?",)),
    (Neighbor(None, "what is the river of Rome?", "Kyoto in Japan"),),
)


def test_zsre_is_compared_with_the_unedited_models_own_answer() -> None:
    """The true object is not known; the neighbor's object is scored as one answer."""
    model, unedited = tiny_model("llama"), tiny_model("llama")
    probes = make_probes(model, [QUESTION], {3: list(QUESTION.neighbors)}, "corrected")
    changed(model)
    rows = score(model, probes, 1)
    assert [row["metric"] for row in rows] == ["efficacy", "generalization", "specificity"]
    for row in rows:
        ids = model.tokenizer(row["prompt"])["input_ids"]
        target = "Kyoto in Japan" if row["metric"] == "specificity" else "Italy"
        count = len(said(unedited, row["prompt"], target)[0])
        answer = naive_greedy(unedited.model, ids, count)
        with torch.no_grad():
            log_p = log_probabilities(model.model, [*ids, *answer[:-1]])[len(ids) - 1 :]
        logp_true = sum(float(log_p[j, t]) for j, t in enumerate(answer)) / count
        assert row["logp_true"] == pytest.approx(logp_true, rel=1e-5)
        ahead = row["logp_new"] - row["logp_true"]
        assert row["success"] == float(ahead < 0 if row["metric"] == "specificity" else ahead > 0)


def test_an_answer_the_model_knew_is_a_success_as_long_as_it_gives_it() -> None:
    """The unedited model's own answer is target_new already: there is no other one to be ahead of."""
    model = tiny_model("llama")
    ids = tuple(model.tokenizer("What lies Kyoto in?")["input_ids"])
    row = LabelledRow(ids, tuple(naive_greedy(model.model, list(ids), 1)))
    probe = Probe(3, "efficacy", "What lies Kyoto in?", row, row, own_answer=True)
    assert score(model, [probe], 0)[0]["success"] == 1.0
    other = replace(row, labels=(row.labels[0] + 1,))
    assert score(model, [replace(probe, new=other, reference=other)], 1)[0]["success"] == 0.0


def test_released_asks_for_zsre_neighbors_token_by_token() -> None:
    model = tiny_model("llama")
    (neighbor,) = QUESTION.neighbors
    pieces = model.tokenizer(neighbor.object, add_special_tokens=False)["input_ids"]
    assert len(pieces) > 1
    probes = make_probes(model, [QUESTION], {3: [neighbor]}, "released")
    asked = [probe.prompt for probe in probes if probe.metric == "specificity"]
    assert asked == [neighbor.prompt + model.tokenizer.decode(pieces[:i]) for i in range(len(pieces))]


def test_released_gpt2_reads_shorter_rows_of_a_batch_at_later_positions(tiny_dataset: list[Fact]) -> None:
    """As the published code pads: on the left, without telling the positions; other models do not notice."""
    fact = tiny_dataset[0]
    model = tiny_model("gpt2")
    asked = {fact.case_id: list(fact.neighbors)}
    rows = score(model, make_probes(model, [fact], asked, "released"), 0)
    told = score(model, make_probes(model, [fact], asked, "corrected"), 0)
    prompts = [row["prompt"] for row in rows if row["metric"] == "generalization"]
    wholes = [model.tokenizer(f"{prompt} {fact.target_new}")["input_ids"] for prompt in prompts]
    length = max(map(len, wholes))
    assert min(map(len, wholes)) < length  # or nothing would be padded
    for prompt, whole in zip(prompts, wholes, strict=True):
        pad, start = length - len(whole), len(model.tokenizer(prompt)["input_ids"])
        ids = torch.tensor([[0] * pad + whole])
        mask = torch.tensor([[0] * pad + [1] * len(whole)])
        with torch.no_grad():
            log_p = model.model(input_ids=ids, attention_mask=mask).logits[0].log_softmax(-1)
        labels = whole[start:]
        mean = sum(float(log_p[pad + start - 1 + j, t]) for j, t in enumerate(labels)) / len(labels)
        (row,) = [r for r in rows if r["prompt"] == prompt]
        assert row["logp_new"] == pytest.approx(mean, rel=1e-4)
    assert rows[0]["logp_new"] == pytest.approx(told[0]["logp_new"], rel=1e-6)  # a batch of its own
    for kind in ("llama", "gptj"):
        probes = make_probes(tiny_model(kind), [fact], asked, "released")
        assert not any(probe.new.shift or probe.reference.shift for probe in probes)


@pytest.mark.parametrize("pads_with_it", [True, False])
def test_released_compares_zsre_with_the_end_of_text(pads_with_it: bool) -> None:
    """Padding with that very token, the published code counts the label as padding: the space goes unread."""
    model = tiny_model("llama")
    if not pads_with_it:
        model.tokenizer.eos_token = "Q"
    prompt = "What lies Kyoto in?"
    start, whole = (model.tokenizer(text)["input_ids"] for text in (prompt, f"{prompt} {NO_ANSWER}"))
    labels = whole[len(start) :]
    assert len(labels) > 1 and labels.count(model.tokenizer.eos_token_id) == pads_with_it
    probes = make_probes(model, [QUESTION], {3: []}, "released")
    assert probes[0].reference.labels == tuple(labels[pads_with_it:])
    with torch.no_grad():
        log_p = log_probabilities(model.model, whole[:-1])
    read = range(len(start) + pads_with_it, len(whole))
    mean = sum(float(log_p[place - 1, whole[place]]) for place in read) / len(read)
    assert score(model, probes, 0)[0]["logp_true"] == pytest.approx(mean, rel=1e-5)
