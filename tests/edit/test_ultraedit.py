"""UltraEdit: batches against the oracle in fp64, and its normaliser over a job that was cut off."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from naive import naive_edit, naive_ultraedit
from tiny import tiny_model
from variants import TEMPLATES, edits_of

from reedit.edit import iteration
from reedit.edit.editor import Editor
from reedit.edit.iteration import iterate
from reedit.edit.journal import Journal
from reedit.edit.texts import Texts
from reedit.edit.ultraedit import both_counted, pairs_of
from reedit.edit.workers import Workers
from reedit.methods.algorithms import ALGORITHMS
from reedit.methods.recipe import Recipe
from reedit.models.language_model import LanguageModel
from reedit.prepare.facts import Fact

Widen = Callable[[LanguageModel], LanguageModel]
SETTINGS = {"layers": [1, 3], "lr": 0.01, "batch_size": 2}
RECIPE = Recipe(ALGORITHMS["ultraedit"], SETTINGS, batch=3)


def run(model: LanguageModel, facts: list[Fact], folder: Path, recipe: Recipe = RECIPE) -> list:
    return iterate(Editor(model, recipe, workers=Workers(Journal(folder, "f"))), edits_of(model, facts))


@pytest.mark.parametrize("architecture", ["llama", "gpt2"])
@pytest.mark.parametrize("batch", [3, None])
def test_batches_are_those_of_the_oracle(
    architecture: str, batch: int | None, tiny_dataset: list[Fact], in_fp64: Widen, tmp_path: Path
) -> None:
    model, facts = in_fp64(tiny_model(architecture)), tiny_dataset[:7]
    plain = [naive_edit(model.tokenizer, fact, TEMPLATES, [], False, "corrected") for fact in facts]
    size = batch or len(facts)
    batches = [plain[start : start + size] for start in range(0, len(facts), size)]
    expected = naive_ultraedit(model.model, batches, SETTINGS)
    (done,) = run(model, facts, tmp_path, replace(RECIPE, batch=batch))
    for layer in SETTINGS["layers"]:
        update, found = sum(one[layer] for one in expected), model.cumulative_update(layer)
        # attention's softmax is in single precision, and small gradients are brought to a deviation of one
        assert float((found - update).norm() / update.norm()) < 1e-4
    assert done.row["ppl_edited"] < done.row["ppl_initial"] and done.row["ppl_target"] is None


def test_a_job_that_was_cut_off_goes_on_counting(
    tiny_dataset: list[Fact], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    facts, models = tiny_dataset[:7], [tiny_model("llama", dtype=torch.float32) for _ in range(3)]
    whole = run(models[0], facts, tmp_path / "whole")
    once, made = iteration.one_batch, []

    def until(last: int) -> None:
        def one_batch(*given):
            if len(made) == last:
                raise KeyboardInterrupt
            made.append(None)
            return once(*given)

        monkeypatch.setattr(iteration, "one_batch", one_batch)

    until(2)
    with pytest.raises(KeyboardInterrupt):
        run(models[1], facts, tmp_path / "cut")
    until(-1)
    resumed = run(models[2], facts, tmp_path / "cut")
    assert len(made) == 3 and resumed[0].targets == whole[0].targets
    for layer in SETTINGS["layers"]:
        assert torch.equal(models[2].weight(layer), models[0].weight(layer))


def test_what_is_counted_in_parts_has_the_mean_of_all_and_nearly_their_deviation() -> None:
    pairs = torch.randn(200, 3, generator=torch.Generator().manual_seed(0), dtype=torch.float64) * 3 + 1
    counted = both_counted(both_counted(None, pairs[:120]), pairs[120:])
    assert torch.allclose(counted.mean, pairs.mean(0)) and float(counted.count) == 200
    assert torch.allclose(counted.normalised(pairs).std(0), torch.ones(3, dtype=torch.float64), rtol=0.01)
    assert both_counted(None, pairs[:1]).spread.tolist() == [0, 0, 0], "one pair has no spread"


def test_pairs_do_not_depend_on_how_memory_cuts_them(
    tiny_dataset: list[Fact], monkeypatch: pytest.MonkeyPatch
) -> None:
    model = tiny_model("llama", dtype=torch.float32)
    rows = [edit.rewriting[0].row for edit in edits_of(model, tiny_dataset[:5])]
    texts = Texts.before(model, rows, 1)
    whole = pairs_of(texts, range(5), [1, 3])
    monkeypatch.setattr(Texts, "batches", lambda self, some: [[row] for row in some])
    single = pairs_of(texts, range(5), [1, 3])
    for layer in (1, 3):
        for one, other in zip(whole[layer], single[layer], strict=True):
            order, again = (tensor.sum(1).argsort() for tensor in (one, other))
            assert torch.allclose(one[order], other[again], atol=1e-5) and one.any()
