"""OPTIMIZATION against the naive oracle, and what batching must not change."""

import math
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from naive import NaiveOptimized, naive_edit, naive_optimize
from optimizing import LAYER, MEMIT, PMET, SETTINGS, TEMPLATES, edits_of, relative
from steps import found_of, reporting
from tiers import long_but
from tiny import ALL_ARCHITECTURES, FURTHER_ARCHITECTURES, LAYERS, WINDOW, tiny_model

from reedit.edit.edits import Edit, Rows, WeightedRow
from reedit.edit.found import Found
from reedit.edit.optimization import descent as optimization
from reedit.edit.optimization.buckets import Bucket, Said, Tail, make_buckets
from reedit.edit.optimization.micro_batch import MicroBatch, micro_batch
from reedit.errors import InputError
from reedit.jobs import memory
from reedit.methods.algorithms import ALGORITHMS, Algorithm
from reedit.methods.recipe import Recipe
from reedit.models.language_model import LanguageModel
from reedit.models.likelihood import likelihoods
from reedit.prepare.facts import Fact, Neighbor
from reedit.use.before_after import Question, ask

OSAKA_LAST = Neighbor.of("The old town is {}", "Osaka", "Japan")
Widen = Callable[[LanguageModel], LanguageModel]


def check_against(found: Found, naive: list[NaiveOptimized], tolerance: float = 1e-5) -> None:
    assert found.steps == [one.steps for one in naive]
    for i, one in enumerate(naive):
        assert relative(found.ppl_initial[i], one.ppl_initial) < tolerance
        assert relative(found.ppl_target[i], one.ppl_target) < tolerance
        assert relative(found.hidden[i], one.hidden) < tolerance
        assert relative(found.hidden[i] + found.delta[i], one.hidden + one.delta) < tolerance
        if one.steps:
            assert relative(found.delta[i], one.delta) < tolerance


def check_algorithm(
    model: LanguageModel,
    facts: list[Fact],
    algorithm: str,
    protocol: str = "corrected",
    count: int = 0,
    prefixed: bool = False,
    spaced: bool = True,
) -> list[NaiveOptimized]:
    naive = [
        naive_optimize(
            model.model,
            naive_edit(model.tokenizer, fact, TEMPLATES, fact.neighbors[:count], prefixed, protocol, spaced),
            *(LAYER, SETTINGS, algorithm),
        )
        for fact in facts
    ]
    edits = edits_of(model, facts, count, prefixed, protocol, spaced)
    check_against(found_of(model, edits, Recipe(ALGORITHMS[algorithm], SETTINGS, protocol)), naive)
    return naive


@pytest.mark.parametrize("protocol", ["corrected", "released"])
@pytest.mark.parametrize("algorithm", ["rome", "memit", "pmet"])
@pytest.mark.parametrize("architecture", long_but(ALL_ARCHITECTURES, {"llama", "gpt2"}.__contains__))
def test_targets_and_perplexities_are_those_of_full_passes_edit_by_edit(
    architecture: str, algorithm: str, protocol: str, tiny_dataset: list[Fact], in_fp64: Widen
) -> None:
    facts = [tiny_dataset[i] for i in (0, 9, 14)]
    naive = check_algorithm(in_fp64(tiny_model(architecture)), facts, algorithm, protocol, count=1)
    assert all(one.steps == 5 for one in naive)


@pytest.mark.parametrize("algorithm", ["memit", "pmet"])
@pytest.mark.parametrize(
    "architecture", long_but(FURTHER_ARCHITECTURES, {"granite", "cohere2", "phi"}.__contains__)
)
def test_architectures_of_one_row_give_the_oracles_targets_too(
    architecture: str, algorithm: str, tiny_dataset: list[Fact], in_fp64: Widen
) -> None:
    model, facts = in_fp64(tiny_model(architecture)), [tiny_dataset[i] for i in (0, 9)]
    naive = check_algorithm(model, facts, algorithm, count=1)
    assert all(one.steps == 5 for one in naive)


ROME_BEFORE = "Rome is a city in the country of Italy. The old town of Osaka lies in Japan."
LONG = (  # four times what a window of the tiny models shows; the second one's end does not see its subject
    (f"{ROME_BEFORE} {{}} is a city in the country of", "Kyoto", "Italy"),
    ("The old town of Osaka lies in Japan. {} lies in Italy. The old town", "Rome", "Japan"),
    ("Glenn Gould plays the piano. On stage {} is seen with a", "Ida Haendel", "guitar"),
)


@pytest.mark.parametrize("long", LONG, ids=["before", "behind", "both"])
@pytest.mark.parametrize("architecture", ["mistral", "phi3", "qwen2", "gemma2", "gemma3_text", "cohere2"])
def test_an_edit_begins_at_the_perplexity_that_the_model_has_beyond_its_window(
    architecture: str, long: tuple[str, str, str], in_fp64: Widen
) -> None:
    """What `edit` says before is what `compare` says."""
    model, (prompt, subject, target) = in_fp64(tiny_model(architecture)), long
    fact = Fact(1, "r", subject, prompt, target, "nothing", (), ())
    edit = Rows(model.wording, "corrected").edit(fact)
    assert len(edit.rewriting[0].row.ids) > 2 * WINDOW
    found = found_of(model, [edit], Recipe(MEMIT, SETTINGS))
    (answer,) = ask(model, [Question(prompt.replace("{}", subject), (target,))], 1)
    assert found.ppl_initial[0] == pytest.approx(answer.targets[0].perplexity, rel=1e-8)
    naive = naive_optimize(
        model.model, naive_edit(model.tokenizer, fact, [], [], False, "corrected"), LAYER, SETTINGS
    )
    check_against(found, [naive])


@pytest.mark.parametrize("architecture", ["mistral", "gemma2", "qwen3_5_text"])
def test_rows_beside_a_row_change_nothing_of_it(
    architecture: str, tiny_dataset: list[Fact], in_fp64: Widen
) -> None:
    """Not what fills it up either, be it behind a window or in a layer that remembers all it has read."""
    model = in_fp64(tiny_model(architecture))
    long = [Fact(i, "r", subject, prompt, new, "-", (), ()) for i, (prompt, subject, new) in enumerate(LONG)]
    edits = [
        *edits_of(model, tiny_dataset[:2], 1),
        *(Rows(model.wording, "corrected").edit(f) for f in long),
    ]
    together = found_of(model, edits, Recipe(PMET, SETTINGS), MicroBatch(10**6, 64))
    for place, edit in enumerate(edits):
        alone = found_of(model, [edit], Recipe(PMET, SETTINGS), MicroBatch(1, 1))
        assert relative(together.delta[place], alone.delta[0]) < 1e-9
        assert together.ppl_target[place] == pytest.approx(alone.ppl_target[0], rel=1e-9)


@pytest.mark.parametrize(
    ("tokenizer", "protocol", "count", "prefixed", "spaced"),
    [
        ("bytes", "corrected", 0, False, True),
        ("bos", "corrected", 1, False, True),
        ("bytes", "released", 1, True, True),
        ("bytes", "released", 3, False, False),
        ("metaspace", "released", 1, False, True),
        ("metaspace", "released", 1, False, False),
        ("bytes", "corrected", 3, True, True),
    ],
)
@pytest.mark.parametrize("algorithm", ["memit", "pmet"])
def test_neighbors_and_tokenizers_change_nothing_of_that(
    algorithm: str,
    tokenizer: str,
    protocol: str,
    count: int,
    prefixed: bool,
    spaced: bool,
    tiny_dataset: list[Fact],
    in_fp64: Widen,
) -> None:
    facts = [tiny_dataset[i] for i in (0, 9, 14)]
    check_algorithm(
        in_fp64(tiny_model("llama", tokenizer)), facts, algorithm, protocol, count, prefixed, spaced
    )


SUBJECT_LAST = (  # as `released` reads them on a SentencePiece vocabulary, the first label stands before t
    Fact(1, "r", "Kyoto", "The old town is {}", "New Zealand", "Japan", (), (OSAKA_LAST,)),
    Fact(2, "r", "Milan", "{}", "Japan", "Italy", (), (OSAKA_LAST,)),
    Fact(3, "r", "Rome", "{} lies in the country of", "Japan", "Italy", (), (OSAKA_LAST,)),
)


@pytest.mark.parametrize("algorithm", ["rome", "memit", "pmet"])
@pytest.mark.parametrize("architecture", ["llama", "gpt2"])
def test_labels_that_are_predicted_before_the_subjects_last_token_count_as_they_stand(
    architecture: str, algorithm: str, in_fp64: Widen
) -> None:
    model = in_fp64(tiny_model(architecture, "metaspace"))
    edits = edits_of(model, list(SUBJECT_LAST), 1, True, "released")
    early = [[w.row.predicted_from < w.row.position for w in edit.labelled] for edit in edits]
    assert early == [[True] * 4, [True] * 4, [False] * 3 + [True]]
    check_algorithm(model, list(SUBJECT_LAST), algorithm, "released", 1, True)


@pytest.mark.parametrize("tokenizer", ["bytes", "metaspace"])
def test_released_edits_a_subject_that_ends_inside_a_token(tokenizer: str, in_fp64: Widen) -> None:
    """The published position, of the text up to the subject's end by itself; `corrected` refuses it."""
    model = in_fp64(tiny_model("llama", tokenizer))
    neighbor = Neighbor.of("{}ves in Osaka lives in", "Who li", "Japan")
    fact = Fact(1, "r", "Who li", "{}ves in Kyoto lives in", "Italy", "Japan", (), (neighbor,))
    with pytest.raises(InputError, match="case 1: a token crosses the end of the subject"):
        edits_of(model, [fact])
    check_algorithm(model, [fact], "memit", "released", 1, True)


@pytest.mark.parametrize("protocol", ["corrected", "released"])
def test_pmet_damps_the_loss_while_every_label_is_the_argmax_and_ends_at_a_small_kl_term(
    protocol: str, taught_folder: Path, tiny_dataset: list[Fact], in_fp64: Widen
) -> None:
    loaded = LanguageModel.load(taught_folder, device="cpu")
    model = in_fp64(loaded)
    settings = SETTINGS | {"layers": [0], "v_num_grad_steps": 25, "clamp_norm_factor": 20}
    settings |= {"v_weight_decay": 1e-3, "nll_loss_factor": 0.9}
    known = replace(tiny_dataset[8], target_new=tiny_dataset[8].target_true)
    facts = [known, *tiny_dataset[:2]]
    naive = [
        naive_optimize(
            model.model,
            naive_edit(model.tokenizer, fact, [], [], False, protocol),
            *(0, settings, "pmet"),
        )
        for fact in facts
    ]
    edits = [Rows(model.wording, protocol, []).edit(fact) for fact in facts]
    check_against(found_of(model, edits, Recipe(PMET, settings, protocol)), naive)
    assert naive[0].steps == 0, "what is known already was meant to end at once"
    assert {round(factor, 6) for factor in naive[2].factors} == {0.9, 0.09}
    assert naive[2].factors[-1] == 0.9, "the factor was meant to come back too"


def test_edits_stop_each_at_its_own_step_as_they_do_alone(
    taught_folder: Path, tiny_dataset: list[Fact], monkeypatch: pytest.MonkeyPatch, in_fp64: Widen
) -> None:
    monkeypatch.setattr(optimization, "STOP_LOSS", 0.9)  # a tiny model does not get to 0.05
    loaded = LanguageModel.load(taught_folder, device="cpu")
    model = in_fp64(loaded)
    settings = SETTINGS | {"v_num_grad_steps": 12, "clamp_norm_factor": 20, "v_weight_decay": 1e-3}
    facts = [replace(fact, target_new=fact.target_true) for fact in tiny_dataset[::4]] + [tiny_dataset[1]]
    naive = [
        naive_optimize(
            model.model,
            naive_edit(model.tokenizer, fact, TEMPLATES, [], False, "corrected"),
            *(0, settings),
            stop_loss=0.9,
        )
        for fact in facts
    ]
    found = found_of(
        model,
        edits_of(model, facts),
        Recipe(MEMIT, settings | {"layers": [0]}),
        MicroBatch(60, 64),
    )
    check_against(found, naive)
    steps = {one.steps for one in naive}
    assert len(steps) > 2 and min(steps) < 11, "the edits were meant to stop at different steps"


@pytest.mark.parametrize("layer", [0, LAYERS - 1])
def test_the_first_and_the_last_layer_can_carry_delta(
    layer: int, tiny_dataset: list[Fact], in_fp64: Widen
) -> None:
    model = in_fp64(tiny_model("llama"))
    # the subject ends the prompt: the last layer's delta reaches the logits of its own position alone
    fact = replace(tiny_dataset[5], prompt="Who lives in {}")
    naive = naive_optimize(
        model.model, naive_edit(model.tokenizer, fact, TEMPLATES, [], False, "corrected"), layer, SETTINGS
    )
    check_against(
        found_of(model, edits_of(model, [fact]), Recipe(MEMIT, SETTINGS | {"layers": [layer]})),
        [naive],
    )


@pytest.mark.parametrize("architecture", ALL_ARCHITECTURES)
def test_without_delta_the_tail_gives_what_the_whole_model_gives(
    architecture: str, tiny_dataset: list[Fact]
) -> None:
    model = tiny_model(architecture)
    edits = edits_of(model, tiny_dataset[:6], 2)
    delta = torch.zeros(len(edits), 1, model.head.weight.shape[1])
    tail = Tail(model, LAYER, ["hidden"])
    said = likelihoods(model, [weighted.row for edit in edits for weighted in edit.labelled])
    whole = [-logp for likelihood in said for logp in likelihood.logp]
    found, kl_rows = [], 0
    for bucket in make_buckets(model, edits, LAYER, 100):
        said = tail(bucket, delta)
        found += said.nll.tolist()
        kl_rows += len(said.log_p)
        for line, i in enumerate(bucket.edit[bucket.kl_row].tolist()):
            logits = model.model(input_ids=torch.tensor([edits[i].kl.ids])).logits[0, -1]
            assert torch.allclose(said.log_p[line], logits.log_softmax(-1))
    assert kl_rows == len(edits)
    assert sorted(found) == pytest.approx(sorted(whole), rel=1e-5, abs=1e-6)


@pytest.mark.parametrize(
    "how",
    [MicroBatch(1, 64), MicroBatch(40, 64), MicroBatch(10**6, 64), MicroBatch(512, 1), MicroBatch(512, 3)],
    ids=str,
)
def test_batch_sizes_do_not_change_the_outcome(
    how: MicroBatch, llama: LanguageModel, tiny_dataset: list[Fact]
) -> None:
    edits = edits_of(llama, [*tiny_dataset[:3], *tiny_dataset[14:18]], 1)
    usual, other = (
        found_of(llama, edits, Recipe(MEMIT, SETTINGS)),
        found_of(llama, edits, Recipe(MEMIT, SETTINGS), how),
    )
    assert relative(other.delta, usual.delta) < 1e-5
    assert other.ppl_target == pytest.approx(usual.ppl_target, rel=1e-5)
    assert other.steps == usual.steps


def test_the_order_of_edits_does_not_change_what_each_becomes(
    llama: LanguageModel, tiny_dataset: list[Fact]
) -> None:
    edits = edits_of(llama, tiny_dataset[::3])
    order = [3, 0, 7, 1, 6, 2, 5, 4]
    usual = found_of(llama, edits, Recipe(MEMIT, SETTINGS))
    other = found_of(llama, [edits[i] for i in order], Recipe(MEMIT, SETTINGS), MicroBatch(512, 3))
    assert relative(other.delta, usual.delta[order]) < 1e-5
    assert relative(other.hidden, usual.hidden[order]) < 1e-6
    assert other.ppl_initial == pytest.approx([usual.ppl_initial[i] for i in order], rel=1e-6)


def lightened(edit: Edit) -> Edit:
    """The same edit with a loss below the stopping value from the first pass on."""
    rows = tuple(WeightedRow(w.row, 1e-6 * w.loss_weight, w.perplexity_weight) for w in edit.rewriting)
    return Edit(edit.case_id, rows, edit.neighbors, edit.kl)


@pytest.mark.parametrize("algorithm", ["memit", "pmet"])
def test_steps_of_a_given_length_take_the_place_of_adam(
    algorithm: str, llama: LanguageModel, tiny_dataset: list[Fact], in_fp64: Widen
) -> None:
    """Each moves every vector straight against its gradient, by that part of the norm of h."""
    model, facts, settings = in_fp64(llama), tiny_dataset[:3], SETTINGS | {"step_length": 0.2}
    naive = [
        naive_optimize(
            model.model,
            naive_edit(model.tokenizer, fact, TEMPLATES, [], False, "corrected"),
            *(LAYER, settings, algorithm),
        )
        for fact in facts
    ]
    edits = edits_of(model, facts)
    check_against(found_of(model, edits, Recipe(ALGORITHMS[algorithm], settings)), naive)
    (one,) = found_of(
        model, edits[:1], Recipe(ALGORITHMS[algorithm], settings | {"v_num_grad_steps": 2})
    ).delta
    norms = [float(h.norm()) for h in naive[0].hidden]
    assert one.norm(dim=1).tolist() == pytest.approx([0.2 * norm for norm in norms])


def test_an_edit_whose_first_loss_is_below_the_limit_is_left_alone(
    llama: LanguageModel, tiny_dataset: list[Fact]
) -> None:
    edit = edits_of(llama, tiny_dataset[:1])[0]
    found = found_of(llama, [lightened(edit)], Recipe(MEMIT, SETTINGS))
    assert found.steps == [0] and found.delta.abs().max() == 0
    assert found.ppl_initial == found.ppl_target
    assert torch.equal(found.target("hidden"), found.hidden[:, 0])


@pytest.mark.parametrize(("first_loss", "steps"), [(0.0499, 0), (0.0501, 5)])
def test_the_limit_of_the_loss_is_a_twentieth(
    first_loss: float, steps: int, llama: LanguageModel, tiny_dataset: list[Fact]
) -> None:
    edit = edits_of(llama, tiny_dataset[:1])[0]
    one_pass = SETTINGS | {"v_num_grad_steps": 1}
    usual = math.log(
        found_of(llama, [edit], Recipe(MEMIT, one_pass)).ppl_initial[0]
    )  # the loss without delta
    rows = tuple(
        WeightedRow(w.row, first_loss / usual * w.loss_weight, w.perplexity_weight) for w in edit.rewriting
    )
    settings = SETTINGS | {"v_lr": 1e-6}  # so that the loss hardly falls later
    settings["v_weight_decay"] = settings["kl_factor"] = 0.0
    found = found_of(llama, [Edit(edit.case_id, rows, (), edit.kl)], Recipe(MEMIT, settings))
    assert found.steps == [steps]


def test_finished_edits_do_not_influence_the_others(llama: LanguageModel, tiny_dataset: list[Fact]) -> None:
    edits = edits_of(llama, tiny_dataset[:4], 1)
    edits[0], edits[2] = (Edit(e.case_id, lightened(e).rewriting, (), e.kl) for e in (edits[0], edits[2]))
    together = found_of(llama, edits, Recipe(MEMIT, SETTINGS))
    alone = found_of(llama, [edits[1], edits[3]], Recipe(MEMIT, SETTINGS))
    assert together.steps == [0, 5, 0, 5]
    assert relative(together.delta[[1, 3]], alone.delta) < 1e-6
    assert together.delta[[0, 2]].abs().max() == 0


def test_delta_never_leaves_its_ball(llama: LanguageModel, tiny_dataset: list[Fact]) -> None:
    settings = SETTINGS | {"clamp_norm_factor": 0.05}
    found = found_of(llama, edits_of(llama, tiny_dataset[:5]), Recipe(MEMIT, settings))
    share = found.delta.norm(dim=2) / found.hidden.norm(dim=2)
    assert share.max() <= 0.05 * (1 + 1e-6)
    assert share.max() > 0.0499, "the ball was meant to bind"


def test_one_pass_measures_and_updates_nothing(llama: LanguageModel, tiny_dataset: list[Fact]) -> None:
    found = found_of(
        llama,
        edits_of(llama, tiny_dataset[:2]),
        Recipe(MEMIT, SETTINGS | {"v_num_grad_steps": 1}),
    )
    assert found.steps == [0, 0] and found.delta.abs().max() == 0


def test_optimisation_leaves_weights_and_hooks_as_they_were(tiny_dataset: list[Fact]) -> None:
    model = tiny_model("llama")
    before = {name: value.clone() for name, value in model.model.state_dict().items()}
    found_of(model, edits_of(model, tiny_dataset[:2]), Recipe(MEMIT, SETTINGS))
    assert all(torch.equal(value, before[name]) for name, value in model.model.state_dict().items())
    assert not any(m._forward_hooks or m._forward_pre_hooks for m in model.model.modules())
    assert all(parameter.grad is None for parameter in model.model.parameters())


def test_progress_counts_every_pass_and_ends_at_the_total(
    llama: LanguageModel, tiny_dataset: list[Fact]
) -> None:
    reported: list[int] = []
    edits = edits_of(llama, tiny_dataset[:5])
    found_of(
        llama,
        edits,
        Recipe(MEMIT, SETTINGS),
        MicroBatch(512, 2),
        workers=reporting(reported),
    )
    assert reported == sorted(reported)
    assert reported[-1] == 5 * SETTINGS["v_num_grad_steps"]


def short_of_memory(monkeypatch: pytest.MonkeyPatch, most: int) -> list[int]:
    """Passes of more than `most` rows fail as a device without memory does; the rows of those that ran."""
    call, rows = Tail.__call__, []

    def limited(self: Tail, bucket: Bucket, delta: torch.Tensor) -> Said:
        said = call(self, bucket, delta)
        if len(bucket.edit) > most:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB.")
        rows.append(len(bucket.edit))
        return said

    monkeypatch.setattr(Tail, "__call__", limited)
    return rows


@pytest.mark.parametrize("algorithm", [MEMIT, PMET], ids=lambda algorithm: algorithm.name)
def test_what_does_not_fit_into_memory_is_run_in_halves_with_the_same_outcome(
    algorithm: Algorithm,
    llama: LanguageModel,
    tiny_dataset: list[Fact],
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    edits = edits_of(llama, tiny_dataset[:6], 1)
    usual = found_of(llama, edits, Recipe(algorithm, SETTINGS))
    rows = short_of_memory(monkeypatch, 4)
    halved = found_of(llama, edits, Recipe(algorithm, SETTINGS))
    assert max(rows) <= 4
    assert relative(halved.delta, usual.delta) < 1e-4
    assert halved.ppl_target == pytest.approx(usual.ppl_target, rel=1e-5)
    told = [record for record in caplog.records if "out of memory" in record.message]
    passes = SETTINGS["v_num_grad_steps"]
    assert 0 < len(told) < len(rows) / passes, "the smaller batches were meant to be kept for later passes"


def test_a_single_row_that_does_not_fit_is_an_error(
    llama: LanguageModel, tiny_dataset: list[Fact], monkeypatch: pytest.MonkeyPatch
) -> None:
    short_of_memory(monkeypatch, 0)
    with pytest.raises(torch.OutOfMemoryError):
        found_of(llama, edits_of(llama, tiny_dataset[:1]), Recipe(MEMIT, SETTINGS))


def test_other_errors_are_not_taken_for_a_lack_of_memory(
    llama: LanguageModel, tiny_dataset: list[Fact], monkeypatch: pytest.MonkeyPatch
) -> None:
    def failing(*args: Any) -> Said:
        raise RuntimeError("shapes do not match")

    monkeypatch.setattr(Tail, "__call__", failing)
    with pytest.raises(RuntimeError, match="shapes do not match"):
        found_of(llama, edits_of(llama, tiny_dataset[:2]), Recipe(MEMIT, SETTINGS))


def test_the_micro_batch_follows_free_memory(
    llama: LanguageModel, tiny_dataset: list[Fact], monkeypatch: pytest.MonkeyPatch
) -> None:
    edits = edits_of(llama, tiny_dataset[:6], 1)
    found = []
    for free in (0, 2 * 10**6, 10**12):
        monkeypatch.setattr("reedit.edit.optimization.micro_batch.free_bytes", lambda device, free=free: free)
        found.append(micro_batch(llama, edits, LAYER))
    assert found[0] == MicroBatch(1, 1) and found[2] == MicroBatch(512, 64)
    assert 1 < found[1].positions < 512 and 1 <= found[1].edits < 64


def test_a_cluster_jobs_control_group_limits_free_memory(tmp_path: Path) -> None:
    (tmp_path / "cgroup").write_text("0::/slurm/job_7\n")
    group = tmp_path / "root" / "slurm" / "job_7"
    group.mkdir(parents=True)
    for folder, limit in [(group, "max"), (group.parent, "5000"), (tmp_path / "root", "9000")]:
        (folder / "memory.max").write_text(f"{limit}\n")
        (folder / "memory.current").write_text("3000\n")
    left = memory._left_in_control_groups(tmp_path / "cgroup", tmp_path / "root")
    assert sorted(left) == [2000, 6000]
    assert memory._left_in_control_groups(tmp_path / "none", tmp_path) == []
