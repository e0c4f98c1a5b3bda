"""The loop: against the oracle for three iterations, what it measures, when it ends, and how it resumes."""

import math
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import torch
from naive import naive_edit, naive_iterate
from safetensors.torch import load_file
from tiny import tiny_model

from reedit import iteration
from reedit.algorithms import ALGORITHMS
from reedit.edits import Edit, make_edit
from reedit.facts import Fact
from reedit.iteration import Iteration, Plan, State, iterate, iterate_once, kept_iterations
from reedit.language_model import LanguageModel
from reedit.states import bare_outputs

TEMPLATES = ["The old town of. {}"]
LAYERS = [1, 2, 3]
SETTINGS = {
    "layers": LAYERS,
    "v_lr": 0.5,
    "v_num_grad_steps": 5,
    "clamp_norm_factor": 0.75,
    "v_weight_decay": 0.5,
    "kl_factor": 0.0625,
    "mom2_update_weight": 4,
}
Moments = Callable[[LanguageModel, list[int]], dict[int, torch.Tensor]]
WALL = ("seconds_optimization", "seconds_spread", "seconds_total", "peak_memory_mb")


def plan(iterations: int, stop: str = "none", extend_to: int | None = None) -> Plan:
    return Plan(ALGORITHMS["memit"], SETTINGS, iterations, stop, extend_to)


def edits_of(
    model: LanguageModel, facts: list[Fact], count: int = 0, protocol: str = "corrected"
) -> list[Edit]:
    return [
        make_edit(model.tokenizer, fact, TEMPLATES, fact.neighbors[:count], False, protocol) for fact in facts
    ]


def without_times(iterations: list[Iteration]) -> list[Any]:
    return [({k: v for k, v in i.row.items() if k not in WALL}, i.targets) for i in iterations]


@pytest.mark.parametrize(
    ("architecture", "protocol", "count"),
    [("llama", "corrected", 1), ("llama", "released", 3), ("gpt2", "released", 1), ("gptj", "corrected", 3)],
)
def test_three_iterations_are_those_of_the_oracle(
    architecture: str,
    protocol: str,
    count: int,
    tiny_dataset: list[Fact],
    moments_of: Moments,
    tmp_path: Path,
) -> None:
    model, facts = tiny_model(architecture), tiny_dataset[::9]
    moments = moments_of(model, LAYERS)
    plain = [
        naive_edit(model.tokenizer, fact, TEMPLATES, fact.neighbors[:count], False, protocol)
        for fact in facts
    ]
    expected = naive_iterate(model.model, plain, moments, SETTINGS, 3)
    state = State(tmp_path / "state", "f")
    found = iterate(model, edits_of(model, facts, count, protocol), moments, plan(3), state)
    cumulative: dict[int, Any] = {}
    for k, (one, naive) in enumerate(zip(found, expected, strict=True), start=1):
        tolerance = 1e-5 if k == 1 else 1e-3  # weights and delta are fp32, and iterations amplify it
        for row, optimized, edited in zip(one.targets, naive.optimized, naive.edited, strict=True):
            assert row["ppl_initial"] == pytest.approx(optimized.ppl_initial, rel=tolerance)
            assert row["ppl_target"] == pytest.approx(optimized.ppl_target, rel=tolerance)
            assert row["ppl_edited"] == pytest.approx(edited, rel=10 * tolerance)
            assert row["hidden_norm"] == pytest.approx(float(optimized.hidden.norm()), rel=tolerance)
            assert row["delta_norm"] == pytest.approx(float(optimized.delta.norm()), rel=tolerance)
            assert row["steps"] == optimized.steps
        square = sum(float(update.square().sum()) for update in naive.updates.values())
        assert one.row["update_norm"] == pytest.approx(math.sqrt(square), rel=tolerance)
        weights = load_file(state.weights(k))
        for layer, update in naive.updates.items():
            cumulative[layer] = cumulative.get(layer, 0) + update
            saved = weights[model.parameter_name(layer)]
            saved = saved.T if architecture == "gpt2" else saved
            assert (saved - cumulative[layer]).norm() < 10 * tolerance * cumulative[layer].norm()


def test_a_row_sums_up_its_targets(tiny_dataset: list[Fact], moments_of: Moments) -> None:
    model = tiny_model("llama")
    edits, moments = edits_of(model, tiny_dataset[:4]), moments_of(model, LAYERS)
    before = bare_outputs(model, edits, LAYERS[-1])
    found = iterate_once(model, edits, moments, plan(1), 1)
    after = bare_outputs(model, edits, LAYERS[-1])
    for name in ("initial", "target", "edited"):
        values = sorted(row[f"ppl_{name}"] for row in found.targets)
        assert found.row[f"ppl_{name}"] == pytest.approx(sum(values) / 4)
        assert found.row[f"ppl_{name}_median"] == pytest.approx((values[1] + values[2]) / 2)
        assert found.row[f"ppl_{name}_gmean"] == pytest.approx(math.prod(values) ** 0.25)
    row = found.row
    assert row["delta_p"] == pytest.approx(abs(row["ppl_edited"] - row["ppl_target"]))
    assert row["delta_p2"] == pytest.approx(abs(row["ppl_edited"] - row["ppl_initial"]))
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
        assert target["residual_after"] < target["residual_before"]


def test_the_next_iteration_begins_where_the_last_one_ended(
    tiny_dataset: list[Fact], moments_of: Moments, tmp_path: Path
) -> None:
    """p(theta_{k+1}, h-hat) is one forward pass of the rows that OPTIMIZATION reads first at k + 1."""
    model = tiny_model("llama")
    edits, moments = edits_of(model, tiny_dataset[:3], 1, "released"), moments_of(model, LAYERS)
    found = iterate(model, edits, moments, plan(3), State(tmp_path / "state", "f"))
    for one, following in pairwise(found):
        for a, b in zip(one.targets, following.targets, strict=True):
            assert a["ppl_edited"] == pytest.approx(b["ppl_initial"], rel=1e-5)


@pytest.mark.parametrize("completed", [1, 2, 3])
def test_an_interrupted_run_repeats_nothing_and_ends_the_same(
    completed: int,
    tiny_dataset: list[Fact],
    moments_of: Moments,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    facts = tiny_dataset[:3]
    once = iteration.iterate_once

    def run(folder: Path, stop_after: int | None) -> tuple[list[Iteration] | None, list[int], LanguageModel]:
        model = tiny_model("llama", dtype=torch.float32)
        done: list[int] = []

        def watched(*args: Any) -> Iteration:
            if stop_after is not None and args[-1] > stop_after:
                raise KeyboardInterrupt
            done.append(args[-1])
            return once(*args)

        monkeypatch.setattr(iteration, "iterate_once", watched)
        moments = moments_of(model, LAYERS)
        try:
            found = iterate(model, edits_of(model, facts), moments, plan(3), State(folder, "f"))
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


def filled(folder: Path, fingerprint: str, ks: int) -> State:
    state = State(folder, fingerprint)
    for k in range(1, ks + 1):
        row = {"k": k, "ppl_edited": math.inf}
        state.save(k, Iteration(row, [{"k": k, "case_id": 1}]), {"w": torch.full((2,), float(k))})
    return state


def test_a_state_gives_back_what_it_was_given(tmp_path: Path) -> None:
    filled(tmp_path / "state", "a", 2)
    state = State(tmp_path / "state", "a")
    assert state.completed() == 2
    assert state.load(2) == Iteration({"k": 2, "ppl_edited": math.inf}, [{"k": 2, "case_id": 1}])
    assert load_file(state.weights(2))["w"].tolist() == [2.0, 2.0]


def test_a_state_of_another_fingerprint_is_discarded(tmp_path: Path) -> None:
    filled(tmp_path / "state", "a", 2)
    assert State(tmp_path / "state", "b").completed() == 0
    assert State(tmp_path / "state", "a").completed() == 0


def test_a_folder_without_a_fingerprint_is_discarded(tmp_path: Path) -> None:
    filled(tmp_path / "state", "a", 1)
    (tmp_path / "state" / "fingerprint").unlink()
    assert State(tmp_path / "state", "a").completed() == 0


def test_a_half_written_iteration_does_not_count_and_is_written_anew(tmp_path: Path) -> None:
    filled(tmp_path / "state", "a", 1)
    partial = tmp_path / "state" / "k2.partial"
    partial.mkdir()
    (partial / "weights.safetensors").write_bytes(b"half")
    state = State(tmp_path / "state", "a")
    assert state.completed() == 1
    state.save(2, Iteration({"k": 2}, []), {"w": torch.zeros(1)})
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
    ],
)
def test_a_plan_ends_where_its_rule_says(
    stop: str,
    iterations: int,
    extend_to: int | None,
    gaps: list[float],
    changes: list[float],
    over_at: int,
) -> None:
    one = plan(iterations, stop, extend_to)
    assert not any(one.is_over(gaps[:k], changes[:k]) for k in range(1, over_at))
    assert one.is_over(gaps[:over_at], changes[:over_at])


def test_the_loop_makes_as_many_iterations_as_its_plan_says(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, llama: LanguageModel
) -> None:
    gaps = {1: 9.0, 2: 8.0, 3: 0.5, 4: 9.0}
    keys = ("delta_p2", "ppl_initial", "ppl_target", "ppl_edited", "seconds_total")

    def made_up(*args: Any) -> Iteration:
        return Iteration({"k": args[-1], "delta_p": gaps[args[-1]]} | dict.fromkeys(keys, 9.0), [])

    monkeypatch.setattr(iteration, "iterate_once", made_up)
    found = iterate(llama, [], {}, plan(2, extend_to=4), State(tmp_path / "state", "f"))
    assert [one.row["k"] for one in found] == [1, 2, 3]


def test_kept_iterations_are_all_the_last_or_the_chosen_one() -> None:
    rows = [{"k": k, "delta_p": gap, "delta_p2": 9.0} for k, gap in enumerate([9.0, 0.5, 0.4], start=1)]
    assert kept_iterations(rows, "all") == [1, 2, 3]
    assert kept_iterations(rows, "last") == [3]
    assert kept_iterations(rows, "selected") == [2]
    assert kept_iterations(rows[:1], "selected") == [1]
