"""Causal tracing: against one row and one layer at a time, and what the table makes of it."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from naive import module_of, naive_greedy
from tiers import long_but
from tiny import ARCHITECTURES, LAYERS, teach, tiny_network, tiny_tokenizer
from torch import Tensor, nn

from reedit.errors import InputError
from reedit.models.language_model import LanguageModel
from reedit.prepare.facts import Fact
from reedit.prepare.tracing import KINDS, known_facts, trace_facts, unit_noise
from reedit.report.figures.drawing import save
from reedit.report.figures.tracing import tracing
from reedit.report.rows.tracing import effects
from reedit.report.tables.tracing import markdown
from reedit.storage import parquet

SETTINGS = {"facts": 3, "samples": 2, "noise": 3, "window": 3, "seed": 5}


@pytest.fixture(
    scope="module",
    params=long_but([*ARCHITECTURES, "gemma2", "qwen3_5_text"], {"llama", "gpt2"}.__contains__),
)
def taught(request: pytest.FixtureRequest) -> LanguageModel:
    network, tokenizer = tiny_network(request.param), tiny_tokenizer()
    teach(network, tokenizer)
    return LanguageModel(network.double(), tokenizer)


def modules(model: LanguageModel, kind: str) -> list[nn.Module]:
    part = "block" if kind == "hidden" else kind
    return [module_of(model.model, layer, part) for layer in range(LAYERS)]


def naive_probability(
    model: LanguageModel, ids: list[int], answer: int, noise: Tensor | None, first: int, put: list
) -> tuple[float, dict[int, Tensor]]:
    """One row: p(answer), and what every module said; `put`: modules, and the state each is to say at t."""
    said: dict[int, Tensor] = {}
    handles = []

    def add(module, args, out):
        changed = out.clone()
        for j, vector in enumerate(noise):
            changed[0, first + j] += vector
        return changed

    def force(t, state):
        def hook(module, args, out):
            whole = (out[0] if isinstance(out, tuple) else out).clone()
            whole[0, t] = state
            return (whole, *out[1:]) if isinstance(out, tuple) else whole

        return hook

    def keep(module, args, out):
        said[id(module)] = out[0] if isinstance(out, tuple) else out

    if noise is not None:
        handles.append(model.model.get_input_embeddings().register_forward_hook(add))
    for module, t, state in put:
        handles.append(module.register_forward_hook(force(t, state)))
    for kind in KINDS:
        handles += [module.register_forward_hook(keep) for module in modules(model, kind)]
    with torch.no_grad():
        logits = model.model(torch.tensor([ids])).logits[0, -1]
    for handle in handles:
        handle.remove()
    return logits.softmax(0)[answer].item(), said


def test_the_effects_are_those_of_one_row_and_one_window_at_a_time(
    taught: LanguageModel, tiny_dataset: list[Fact], tmp_path: Path
) -> None:
    rows = trace_facts(taught, tiny_dataset, SETTINGS)
    parquet.write(rows, tmp_path / "tracing.parquet", "tracing", {})
    windows = {"hidden": LAYERS, "mlp": LAYERS - 2, "attention": LAYERS - 2}
    assert len(rows) == 3 * 2 * sum(windows.values())
    known = known_facts(taught, tiny_dataset, 3, 5)
    spans = [fact.ids[fact.subject[0] : fact.subject[1] + 1] for fact in known]
    embedded = taught.model.get_input_embeddings()(torch.tensor([token for span in spans for token in span]))
    scale = 3 * embedded.std().item()
    for fact, span in zip(known, spans, strict=True):
        case = next(case for case in tiny_dataset if case.case_id == fact.case_id)
        assert case.subject in taught.tokenizer.decode(span)
        assert taught.tokenizer.decode(span).strip() == case.subject
        ids, (first, t) = list(fact.ids), fact.subject
        clean, states = naive_probability(taught, ids, fact.answer, None, first, [])
        noise = scale * unit_noise(5, fact.case_id, (2, len(span), embedded.shape[1]))
        for s in range(2):
            corrupted, _ = naive_probability(taught, ids, fact.answer, noise[s], first, [])
            for row in (row for row in rows if (row["case_id"], row["sample"]) == (fact.case_id, s)):
                found = modules(taught, row["kind"])[row["layer"] : row["layer"] + row["layers"]]
                put = [(module, t, states[id(module)][0, t]) for module in found]
                restored, _ = naive_probability(taught, ids, fact.answer, noise[s], first, put)
                assert row["p_clean"] == pytest.approx(clean, rel=1e-6)
                assert row["p_corrupted"] == pytest.approx(corrupted, rel=1e-6)
                assert row["p_restored"] == pytest.approx(restored, rel=1e-6)
                assert len(put) == (1 if row["kind"] == "hidden" else 3)


def test_the_whole_state_at_the_last_position_gives_everything_back(
    taught: LanguageModel, tiny_dataset: list[Fact]
) -> None:
    ends = [fact for fact in tiny_dataset if fact.prompt.endswith("lies in")]
    at_end = [replace(fact, prompt="Who lives in Japan lives in {}", target_true="Japan") for fact in ends]
    known = _said(taught, at_end)
    rows = trace_facts(taught, known, SETTINGS)
    last = [row for row in rows if (row["kind"], row["layer"]) == ("hidden", LAYERS - 1)]
    assert last and all(row["p_restored"] == pytest.approx(row["p_clean"], rel=1e-9) for row in last)
    assert any(row["p_corrupted"] < 0.9 * row["p_clean"] for row in last)


def _said(model: LanguageModel, facts: list[Fact]) -> list[Fact]:
    """The facts with an object that the model says: one token, a word that stands after a space."""
    changed = []
    for fact in facts:
        text = fact.prompt.format(fact.subject)
        ids = model.tokenizer(text)["input_ids"]
        best = model.model(torch.tensor([ids])).logits[0, -1].argmax().item()
        word = model.tokenizer.decode([best]).strip()
        if model.tokenizer(f"{text} {word}")["input_ids"] == [*ids, best]:
            changed.append(replace(fact, target_true=word))
    return changed


def test_only_what_the_model_knows_is_traced_in_a_seeded_order(
    taught: LanguageModel, tiny_dataset: list[Fact]
) -> None:
    wrong = [replace(fact, case_id=fact.case_id + 1000, target_true=fact.target_new) for fact in tiny_dataset]
    true = {fact.case_id for fact in [*wrong, *tiny_dataset] if _says(taught, fact)}
    assert 8 < len(true) < 48, "some are known and some are not"
    every = [fact.case_id for fact in known_facts(taught, [*wrong, *tiny_dataset], 48, 0)]
    assert set(every) == true and every != sorted(every)
    some = [fact.case_id for fact in known_facts(taught, [*wrong, *tiny_dataset], 8, 0)]
    assert some == every[:8]
    with pytest.raises(InputError, match=f"the model knows none of {48 - len(true)} facts"):
        known_facts(taught, [f for f in [*wrong, *tiny_dataset] if f.case_id not in true], 8, 0)


def _says(model: LanguageModel, fact: Fact) -> bool:
    """Whether the fact's true object is what the model says, token by token."""
    text = fact.prompt.format(fact.subject)
    ids, whole = (model.tokenizer(t)["input_ids"] for t in (text, f"{text} {fact.target_true}"))
    return naive_greedy(model.model, ids, len(whole) - len(ids)) == whole[len(ids) :]


def made(kind: str, layer: int, layers: int, restored: float, case_id: int = 1, sample: int = 0) -> dict:
    given = {"case_id": case_id, "kind": kind, "layer": layer, "layers": layers, "sample": sample}
    return given | {"p_clean": 0.9, "p_corrupted": 0.1, "p_restored": restored}


def test_the_table_names_the_layers_whose_mlps_give_back_most(tmp_path: Path) -> None:
    rows = [made("hidden", layer, 1, 0.8, case, s) for layer in range(4) for case in (1, 2) for s in (0, 1)]
    for kind, best in [("mlp", 1), ("attention", 0)]:
        for layer in range(3):
            for case in (1, 2):
                gained = 0.2 * case + (0.1 if layer == best else 0)
                rows += [made(kind, layer, 2, 0.1 + gained + d, case, s) for s, d in enumerate((-0.05, 0.05))]
    found = effects(rows)
    assert (found.facts, found.p_clean, found.p_corrupted) == (2, pytest.approx(0.9), pytest.approx(0.1))
    assert found.critical.layers == (1, 2)
    assert found.critical.mean == pytest.approx(0.4)
    assert found.critical.error == pytest.approx(0.1), "over facts, not over samples"
    text = markdown(found, "m / d", {"model_revision": "r1", "seed": 0, "samples": 2, "noise": 3})
    assert "layers: [1, 2]  # 40.0 ± 10.0" in text
    assert "| 3           |" in text and "from 90.0 % to 10.0 %" in text
    save(tracing(found, "m / d"), tmp_path / "a.pdf", tmp_path / "a.png")
    assert (tmp_path / "a.pdf").read_bytes().startswith(b"%PDF")
    assert (tmp_path / "a.png").stat().st_size > 10_000


def test_the_first_layer_is_named_only_where_there_is_no_choice() -> None:
    rows = [made("mlp", layer, 2, 0.9 - 0.1 * layer) for layer in range(3)]
    assert effects(rows).critical.layers == (1, 2)
    assert effects(rows[:1]).critical.layers == (0, 1)


def test_one_fact_has_no_standard_error() -> None:
    found = effects([made("mlp", 0, 2, 0.5), made("mlp", 0, 2, 0.7, sample=1)])
    assert np.isnan(found.critical.error) and found.critical.mean == pytest.approx(0.5)
