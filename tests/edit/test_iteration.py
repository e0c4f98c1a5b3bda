"""The loop: against the oracle for three iterations, what it measures, when it ends, and how it resumes."""

import math
import statistics
from collections.abc import Callable
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import torch
from naive import naive_edit, naive_iterate
from oracle import hold_to
from safetensors.torch import load_file
from tiers import long_but
from tiny import ARCHITECTURES, tiny_model
from variants import (
    LAYERS,
    LEAVING,
    ROME,
    TEMPLATES,
    VARIANTS,
    Moments,
    edits_of,
    factors_of,
    plan,
    steps_of,
)

from reedit.edit import iteration
from reedit.edit.editor import Editor, Update
from reedit.edit.edits import Edit
from reedit.edit.found import Found, untold
from reedit.edit.iteration import iterate
from reedit.edit.journal import Iteration, Journal
from reedit.edit.kept_weights import kept_iterations
from reedit.edit.measured import Start
from reedit.edit.memory import Memory
from reedit.edit.states import bare_rows, states_at_subject
from reedit.edit.workers import Workers
from reedit.methods.algorithms import ALGORITHMS
from reedit.methods.recipe import Recipe, Step
from reedit.models.language_model import LanguageModel
from reedit.prepare.facts import Fact

Widen = Callable[[LanguageModel], LanguageModel]
WALL = ("seconds_optimization", "seconds_spread", "seconds_total", "peak_memory_mb")


PUBLISHED = ("memit", "pmet", "rome", "rome adjusted")


def iterated(
    model: LanguageModel,
    edits: list[Edit],
    factors: dict[int, torch.Tensor],
    recipe: Recipe,
    folder: Path,
) -> list[Iteration]:
    """All iterations, with a journal in `folder`."""
    return iterate(Editor(model, recipe, factors, workers=Workers(Journal(folder, "f"))), edits)


def bare(model: LanguageModel, edits: list[Edit], name: str = "hidden") -> torch.Tensor:
    return states_at_subject(model, bare_rows(edits), LAYERS[-1], [name])[name]


def without_times(iterations: list[Iteration]) -> list[Any]:
    return [({k: v for k, v in i.row.items() if k not in WALL}, i.targets) for i in iterations]


EVERYWHERE = [(name, (3, True)) for name in (*ARCHITECTURES, "gemma3_text", "gemma2")]
EVERYWHERE += [("llama", (0, False)), ("llama", (1, False))]
THOROUGH = [
    (*where, variant, protocol)
    for where in EVERYWHERE
    for variant in PUBLISHED
    for protocol in ("corrected", "released")
]
ONCE = [
    (name, (1, False), variant, "corrected")
    for variant in set(VARIANTS) - set(PUBLISHED) - set(LEAVING)
    for name in ("llama", "gpt2")
]


ACCUMULATING = (
    "alphaedit in batches",
    "encore in batches",
    "nse in batches",
    "memit in batches protecting others",
)
ONCE += [("llama", (1, False), variant, "released") for variant in ACCUMULATING]

# another variant says the same and more
MORE = ("blue", "r_rome", "alphaedit", "alphaedit in batches", "alphaedit protecting its own")
MORE += ("memit, SPREAD only", "pmet, SPREAD only", "rome in batches")


def enough_to_begin_with(row: tuple[str, tuple[int, bool], str, str]) -> bool:
    """Every variant and protocol once, assisted and prefixed where it can be; MEMIT in all three ways."""
    architecture, assisting, variant, protocol = row
    plain = variant == "memit" and protocol == "corrected"
    once = assisting == (3, True) or plain or variant not in PUBLISHED
    return architecture == "llama" and once and variant not in MORE


@pytest.mark.parametrize(
    ("architecture", "assisting", "variant", "protocol"),
    long_but([*THOROUGH, *sorted(ONCE)], enough_to_begin_with),
)
def test_three_iterations_are_those_of_the_oracle(
    architecture: str,
    variant: str,
    protocol: str,
    assisting: tuple[int, bool],
    tiny_dataset: list[Fact],
    moments_of: Moments,
    in_fp64: Widen,
) -> None:
    """Every algorithm, in fp64: targets, perplexities and updates to 1e-5 at each k."""
    model, facts = in_fp64(tiny_model(architecture)), tiny_dataset[::9]
    (count, prefixed), wanted = assisting, plan(3, variant=variant, protocol=protocol)
    moments = moments_of(model, wanted.hyperparameters["layers"])
    plain = [
        naive_edit(model.tokenizer, fact, TEMPLATES, fact.neighbors[:count], prefixed, protocol)
        for fact in facts
    ]
    algorithm, settings = VARIANTS[variant]
    expected = naive_iterate(model.model, plain, moments, settings, 3, algorithm, **steps_of(wanted))
    edits, factors = edits_of(model, facts, count, protocol, prefixed), factors_of(moments, wanted)
    if not settings.get("mom2_adjustment") and wanted.algorithm.one_by_one:
        factors = {}
    hold_to(expected, Editor(model, wanted, factors), edits)


IN_TURN = ("memit in batches", "rome", "rome in batches", "blue in batches", "pmet in batches, SPREAD only")


@pytest.mark.parametrize("protocol", ["corrected", "released"])
@pytest.mark.parametrize(
    "variant",
    long_but(["memit", "pmet", "blue", "memit, SPREAD only", *IN_TURN], "memit in batches".__eq__),
)
def test_delta_p2_is_between_two_states_that_all_cases_share(
    variant: str,
    protocol: str,
    tiny_dataset: list[Fact],
    moments_of: Moments,
    tmp_path: Path,
) -> None:
    """Whatever cases were edited on what others left; `released` ROME has both sides edit by edit."""
    model, facts = tiny_model("llama"), tiny_dataset[::6]
    wanted, (algorithm, settings) = plan(2, variant=variant, protocol=protocol), VARIANTS[variant]
    moments = moments_of(model, LAYERS)
    plain = [naive_edit(model.tokenizer, fact, TEMPLATES, [], False, protocol) for fact in facts]
    naive = naive_iterate(model.model, plain, moments, settings, 3, algorithm, **steps_of(wanted))
    expected = [one.change for one in naive[:2]]
    began = [statistics.fmean(edit.ppl_initial for edit in one.optimized) for one in naive]
    if wanted.looks_ahead:
        expected = [abs(later - earlier) for earlier, later in pairwise(began)]
    factors = {} if wanted.algorithm.one_by_one else factors_of(moments, wanted)
    for iterations in (1, 2):  # the second is resumed, and knows of the first what was saved
        one = replace(wanted, iterations=iterations)
        found = iterated(model, edits_of(model, facts, 0, protocol), factors, one, tmp_path / "s")
    # perplexities of some 50 in the architectures' own fp32: what differs by less is rounding
    assert [one.row["delta_p2"] for one in found] == pytest.approx(expected, rel=1e-3, abs=1e-4)
    assert [one.row["ppl_initial"] for one in found] == pytest.approx(began[:2], rel=1e-4)
    if variant in IN_TURN and not wanted.looks_ahead:  # the two differ, or this would test nothing
        assert abs(found[0].row["ppl_edited"] - began[0]) != pytest.approx(expected[0], rel=1e-2)


@pytest.mark.parametrize(("variant", "vector"), [("memit", "hidden"), ("pmet", "mlp")])
def test_a_row_sums_up_its_targets(
    variant: str, vector: str, tiny_dataset: list[Fact], moments_of: Moments, tmp_path: Path
) -> None:
    model = tiny_model("llama")
    edits, factors = edits_of(model, tiny_dataset[:4]), factors_of(moments_of(model, LAYERS))
    before = bare(model, edits, vector)
    (found,) = iterated(model, edits, factors, plan(1, variant=variant), tmp_path / "state")
    after = bare(model, edits, vector)
    for name in ("initial", "target", "edited"):
        values = sorted(row[f"ppl_{name}"] for row in found.targets)
        assert found.row[f"ppl_{name}"] == pytest.approx(sum(values) / 4)
        assert found.row[f"ppl_{name}_median"] == pytest.approx((values[1] + values[2]) / 2)
        assert found.row[f"ppl_{name}_gmean"] == pytest.approx(math.prod(values) ** 0.25)
    row = found.row
    assert row["delta_p"] == pytest.approx(abs(row["ppl_edited"] - row["ppl_target"]))
    assert row["delta_p2"] == pytest.approx(abs(row["ppl_edited"] - row["ppl_initial"]))  # all at once
    assert [target["case_id"] for target in found.targets] == [edit.case_id for edit in edits]
    squares = sum(float(model.weight(layer).square().sum()) for layer in LAYERS)
    assert row["weight_norm"] == pytest.approx(math.sqrt(squares), rel=1e-5)
    squares = sum(float(model.cumulative_update(layer).square().sum()) for layer in LAYERS)
    assert row["update_norm"] == pytest.approx(math.sqrt(squares), rel=1e-5)
    for i, target in enumerate(found.targets):
        assert target["hidden_norm"] == pytest.approx(float(before[i].norm()), rel=1e-6)
        assert target["residual_before"] == target["delta_norm"]
        moved = float((after[i] - before[i]).norm())
        assert abs(target["residual_before"] - target["residual_after"]) <= moved * (1 + 1e-5)
        if vector == "hidden":  # what lower layers write reaches it by the residual stream, and no other
            assert target["residual_after"] < target["residual_before"]


@pytest.mark.parametrize("variant", ["memit", "pmet", "rome"])
def test_the_next_iteration_begins_where_the_last_one_ended(
    variant: str, tiny_dataset: list[Fact], moments_of: Moments, tmp_path: Path
) -> None:
    """p(theta_{k+1}, h-hat) is one forward pass of the rows that OPTIMIZATION reads first at k + 1."""
    model = tiny_model("llama")
    edits = edits_of(model, tiny_dataset[:3], 1, "released")
    factors = factors_of(moments_of(model, LAYERS))
    three = plan(3, variant=variant, protocol="released")
    found = iterated(model, edits, factors, three, tmp_path / "state")
    for one, following in pairwise(found):
        for a, b in zip(one.targets, following.targets, strict=True):
            assert a["ppl_edited"] == pytest.approx(b["ppl_initial"], rel=1e-6)


@pytest.mark.parametrize(
    ("variant", "completed"),
    [
        *(("memit", 1), ("memit", 2), ("memit", 3)),
        *(("memit, SPREAD only", 1), ("memit, SPREAD only", 2)),
        *(("alphaedit in batches", 1), ("alphaedit protecting its own", 2), ("blue in batches", 1)),
    ],
)
def test_an_interrupted_run_repeats_nothing_and_ends_the_same(
    variant: str,
    completed: int,
    tiny_dataset: list[Fact],
    moments_of: Moments,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    facts = tiny_dataset[:3]
    once = iteration.one_iteration

    def run(folder: Path, stop_after: int | None) -> tuple[list[Iteration] | None, list[int], LanguageModel]:
        model = tiny_model("llama", dtype=torch.float32)
        done: list[int] = []

        def watched(editor: Editor, edits: list[Edit], k: int, *rest: Any) -> Found:
            if stop_after is not None and k > stop_after:
                raise KeyboardInterrupt
            done.append(k)
            return once(editor, edits, k, *rest)

        monkeypatch.setattr(iteration, "one_iteration", watched)
        wanted = plan(3, variant=variant)
        factors = factors_of(moments_of(model, LAYERS), wanted)
        try:
            found = iterated(model, edits_of(model, facts), factors, wanted, folder)
        except KeyboardInterrupt:
            found = None
        return found, done, model

    whole, _, straight = run(tmp_path / "whole", None)
    assert run(tmp_path / "cut", completed if completed < 3 else None)[1] == list(range(1, completed + 1))
    resumed, done, model = run(tmp_path / "cut", None)
    assert whole is not None and resumed is not None
    assert done == list(range(completed + 1, 4))
    assert without_times(resumed) == without_times(whole)
    for layer in LAYERS:
        assert torch.equal(model.weight(layer), straight.weight(layer))
    for k in (1, 2, 3):
        a, b = (load_file(tmp_path / name / f"k{k}" / "weights.safetensors") for name in ("whole", "cut"))
        assert a.keys() == b.keys()
        assert all(torch.equal(a[name], b[name]) for name in a)


def filled(folder: Path, fingerprint: str, ks: int) -> Journal:
    state = Journal(folder, fingerprint)
    for k in range(1, ks + 1):
        row = {"k": k, "ppl_edited": math.inf}
        one = Iteration(row, [{"k": k, "case_id": 1}])
        state.complete(k, one, {"w": torch.full((2,), float(k))}, Memory())
    return state


def test_a_state_gives_back_what_it_was_given(tmp_path: Path) -> None:
    filled(tmp_path / "state", "a", 2)
    state = Journal(tmp_path / "state", "a")
    assert state.completed() == 2
    assert state.load(2) == Iteration({"k": 2, "ppl_edited": math.inf}, [{"k": 2, "case_id": 1}])
    assert load_file(state.weights(2))["w"].tolist() == [2.0, 2.0]


def test_a_state_of_another_fingerprint_is_discarded(tmp_path: Path) -> None:
    filled(tmp_path / "state", "a", 2)
    assert Journal(tmp_path / "state", "b").completed() == 0
    assert Journal(tmp_path / "state", "a").completed() == 0


def test_a_folder_without_a_fingerprint_is_discarded(tmp_path: Path) -> None:
    filled(tmp_path / "state", "a", 1)
    (tmp_path / "state" / "fingerprint").unlink()
    assert Journal(tmp_path / "state", "a").completed() == 0


def test_a_half_written_iteration_does_not_count_and_is_written_anew(tmp_path: Path) -> None:
    filled(tmp_path / "state", "a", 1)
    partial = tmp_path / "state" / "k2.partial"
    partial.mkdir()
    (partial / "weights.safetensors").write_bytes(b"half")
    state = Journal(tmp_path / "state", "a")
    assert state.completed() == 1
    state.complete(2, Iteration({"k": 2}, []), {"w": torch.zeros(1)}, Memory())
    assert state.completed() == 2 and not partial.exists()


def test_a_discarded_state_leaves_nothing(tmp_path: Path) -> None:
    state = filled(tmp_path / "state", "a", 1)
    state.discard()
    assert not (tmp_path / "state").exists()


@pytest.mark.parametrize(
    ("stop", "iterations", "extend_to", "gaps", "changes", "over_at"),
    [
        ("none", 3, None, [0.1, 0.1, 0.1], [0.1, 0.1, 0.1], 3),
        ("proposed", 5, None, [9, 1.0, 7], [9, 9, 9], 2),
        ("proposed", 2, None, [9, 8, 0.1], [9, 9, 9], 2),
        ("monotonic", 5, None, [9, 8, 8, 1], [9, 9, 9, 9], 3),
        ("small_change", 5, None, [9, 9, 9], [9, 9, 0.5], 3),
        ("none", 2, 4, [9, 8, 7, 6, 5], [9, 9, 9, 9, 9], 4),
        ("none", 2, 4, [9, 0.5, 9], [9, 9, 9], 2),
        ("none", 2, 4, [0.5, 9, 9], [9, 9, 9], 2),
        ("none", 2, 5, [9, 8, 0.5, 9], [9, 9, 9, 9], 3),
        ("none", 2, 2, [9, 8, 7], [9, 9, 9], 2),
        ("none", 2, 3, [math.inf, math.nan, math.inf], [9, 9, 9], 3),
        ("none", 2, 4, [None, None], [9, 9], 2),  # not measured: nothing to extend for
        ("proposed", 3, 5, [None, None, None], [9, 9, 9], 3),
        ("small_change", 3, None, [None, None], [9, 0.5], 2),
    ],
)
def test_a_plan_ends_where_its_rule_says(
    stop: str,
    iterations: int,
    extend_to: int | None,
    gaps: list[float | None],
    changes: list[float],
    over_at: int,
) -> None:
    one = plan(iterations, stop, extend_to)
    rows = [{"delta_p": gap, "delta_p2": change} for gap, change in zip(gaps, changes, strict=True)]
    assert not any(one.is_over(rows[:k]) for k in range(over_at))
    assert one.is_over(rows[:over_at])


def test_the_loop_makes_as_many_iterations_as_its_plan_says(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, llama: LanguageModel
) -> None:
    gaps = {1: 9.0, 2: 8.0, 3: 0.5, 4: 9.0}

    def made_up(editor: Any, edits: Any, start: Start, *_: Any) -> Iteration:
        return Iteration({"k": start.k, "delta_p": gaps[start.k], "delta_p2": 9.0}, [])

    monkeypatch.setattr(iteration, "one_iteration", lambda *_: untold([]))
    monkeypatch.setattr(iteration, "measured", made_up)
    found = iterated(llama, [], {}, plan(2, extend_to=4), tmp_path / "state")
    assert [one.row["k"] for one in found] == [1, 2, 3]


def test_an_update_that_is_no_number_is_left_out_with_a_line(caplog: pytest.LogCaptureFixture) -> None:
    model = tiny_model("llama")
    before = model.weight(2).clone()
    broken = torch.zeros_like(before)
    broken[0, 0] = math.nan
    step = Step(5, 0, 0, (0,), [2], "k=5")
    Editor(model, plan(1)).write(step, Update({2: broken}))
    assert torch.equal(model.weight(2), before)
    assert "k=5: the model has collapsed" in caplog.text


def test_a_collapsing_model_is_recorded_as_infinite_and_the_run_goes_on(
    tiny_dataset: list[Fact], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    model = tiny_model("llama", dtype=torch.float32)
    wild = {"clamp_norm_factor": 1e4, "v_lr": 1e4}
    broken = Recipe(ALGORITHMS["rome"], ROME | wild, "corrected", 3, "none", None)
    model.model.model.norm.weight.data *= 200  # so that what is unlikely is beyond floating point
    found = iterated(model, edits_of(model, tiny_dataset[:6]), {}, broken, tmp_path / "s")
    assert len(found) == 3
    assert math.isinf(found[-1].row["ppl_edited"]) and math.isinf(found[-1].row["delta_p"])
    assert not any(math.isnan(value) for one in found for value in one.row.values())
    assert "the model has collapsed" in caplog.text
    assert math.isinf(Journal(tmp_path / "s", "f").load(3).row["ppl_edited"])


def test_kept_iterations_are_all_the_last_or_the_chosen_one() -> None:
    rows = [{"k": k, "delta_p": gap, "delta_p2": 9.0} for k, gap in enumerate([9.0, 0.5, 0.4], start=1)]
    assert kept_iterations(rows, "all") == [1, 2, 3]
    assert kept_iterations(rows, "last") == [3]
    assert kept_iterations(rows, "selected") == [2]
    assert kept_iterations(rows[:1], "selected") == [1]
