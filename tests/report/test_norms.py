"""Norms per iteration: against numpy, of runs that converge and that collapse, and what is said of them."""

import csv
import io
import math
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from made_norms import norm_row
from made_runs import ITERATION, experiment, target
from printed_tables import printed
from safetensors.torch import load_file
from tiny import ARCHITECTURES, tiny_model
from variants import LAYERS, SETTINGS, edits_of, factors_of, plan

from reedit.edit.editor import Editor
from reedit.edit.iteration import iterate
from reedit.edit.journal import Journal
from reedit.edit.workers import Workers
from reedit.errors import InputError
from reedit.evaluate.norms import condition, norm_rows, singular_values
from reedit.models.language_model import LanguageModel
from reedit.prepare.facts import Fact
from reedit.report.figures.courses import norms
from reedit.report.figures.drawing import NOTHING, save
from reedit.report.rows.norms import (
    BLOWING_UP,
    CONDITION,
    GROWTH,
    MORE_SPREAD,
    RESIDUAL,
    SETTLED,
    NormFiles,
    norm_summary_rows,
    reading,
)
from reedit.report.tables.norms import NORMS
from reedit.storage import parquet
from reedit.storage.schemas import SCHEMAS

Moments = Callable[[LanguageModel, list[int]], dict[int, torch.Tensor]]
RUN = {"entry": 0, "model": "tiny", "dataset": "facts", "method": "memit", "trial": 1}


# -- norms of a model ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_norms_and_condition_are_numpys(architecture: str) -> None:
    model, generator = tiny_model(architecture), torch.Generator().manual_seed(0)
    unedited = {layer: model.weight(layer).clone().numpy() for layer in LAYERS}
    updates = {
        layer: torch.randn(w.shape, generator=generator, dtype=torch.float64) for layer, w in unedited.items()
    }
    before = norm_rows(model, LAYERS, 0)
    for layer, update in updates.items():
        model.set_cumulative_update(layer, update)
    after = norm_rows(model, LAYERS, 2)
    for row, layer in zip(before, LAYERS, strict=True):
        assert (row["k"], row["layer"]) == (0, layer)
        assert row["weight_norm"] == pytest.approx(np.linalg.norm(unedited[layer]))
        assert row["condition"] == pytest.approx(np.linalg.cond(unedited[layer]))
    for row, layer in zip(after, LAYERS, strict=True):
        update = updates[layer].numpy()
        assert (row["k"], row["layer"]) == (2, layer)
        assert row["weight_norm"] == pytest.approx(np.linalg.norm(unedited[layer] + update))
        assert row["condition"] == pytest.approx(np.linalg.cond(unedited[layer] + update))


def test_a_singular_matrix_has_an_infinite_condition_and_one_that_is_not_finite_none() -> None:
    assert condition(singular_values(torch.diag(torch.tensor([4.0, 2.0])))) == 2.0
    assert math.isinf(condition(singular_values(torch.diag(torch.tensor([4.0, 0.0])))))
    for value in (torch.nan, torch.inf):
        assert math.isnan(condition(singular_values(torch.diag(torch.tensor([4.0, value])))))


# -- runs that converge and that collapse -------------------------------------------------------------------


def measured(
    folder: Path, model: LanguageModel, facts: list[Fact], moments: Moments, iterations: int, **settings
):
    """Rows of "norm_summary" of a run of the tiny model with other hyperparameters, from its own files."""
    wanted = replace(plan(iterations), hyperparameters=SETTINGS | settings)
    factors, state = factors_of(moments(model, LAYERS)), Journal(folder / "state", "f")
    rows = norm_rows(model, LAYERS, 0)
    found = iterate(Editor(model, wanted, factors, workers=Workers(state)), edits_of(model, facts))
    for k in range(1, iterations + 1):
        model.import_updates(load_file(state.weights(k)), LAYERS)
        rows += norm_rows(model, LAYERS, k)
    files = NormFiles(*(folder / f"{name}.parquet" for name in ("norms", "iterations", "targets")))
    parquet.write(rows, files.norms, "norms", {})
    parquet.write([one.row for one in found], files.iterations, "iterations", {})
    parquet.write([target for one in found for target in one.targets], files.targets, "targets", {})
    made, _ = experiment(folder / "made", [{"method": "memit", "delta_p": [1.0] * iterations} | RUN])
    return norm_summary_rows(made, {("tiny", "facts", "memit", 1): files})


def test_a_run_that_converges_settles(tiny_dataset: list[Fact], moments_of: Moments, tmp_path: Path) -> None:
    """SPREAD with a small weight on what is to stay closes the residual; the weights hardly grow."""
    rows = measured(tmp_path, tiny_model("llama"), tiny_dataset[:3], moments_of, 4, mom2_update_weight=0.5)
    assert rows[-1]["reading"] == SETTLED
    assert rows[-1]["residual_after"] < RESIDUAL and 1 < rows[-1]["growth"] < GROWTH


def test_a_run_that_moves_too_little_needs_more_spread(
    tiny_dataset: list[Fact], moments_of: Moments, tmp_path: Path
) -> None:
    rows = measured(tmp_path, tiny_model("llama"), tiny_dataset[:3], moments_of, 2, mom2_update_weight=1000)
    assert [row["reading"] for row in rows] == [None, MORE_SPREAD, MORE_SPREAD]
    assert rows[1]["residual_after"] > 0.5 * rows[1]["residual_before"]


def test_a_run_of_huge_updates_is_blowing_up(
    tiny_dataset: list[Fact], moments_of: Moments, tmp_path: Path
) -> None:
    settings = {"v_lr": 20.0, "clamp_norm_factor": 500, "v_weight_decay": 0.0, "mom2_update_weight": 1e-3}
    rows = measured(tmp_path, tiny_model("llama"), tiny_dataset[:12], moments_of, 2, **settings)
    assert rows[-1]["reading"] == BLOWING_UP and rows[-1]["growth"] > 2 * GROWTH


# -- the summary --------------------------------------------------------------------------------------------


def layer_row(k, layer, weight_norm=10.0, condition=4.0):
    return {
        "k": k,
        "layer": layer,
        "weight_norm": weight_norm,
        "condition": condition,
        "after": None,
    }


def told(k, case_id, before, after, hidden=2.0, ppl_target=1.0):
    """One row of schema "targets"."""
    residuals = {"hidden_norm": hidden, "residual_before": before, "residual_after": after}
    return target(k, case_id, ppl_target=ppl_target) | residuals


UNEDITED = [layer_row(0, 4), layer_row(0, 5, weight_norm=20.0, condition=8.0)]
ONCE = [layer_row(1, 4, weight_norm=12.0, condition=20.0), layer_row(1, 5, weight_norm=21.0, condition=24.0)]
TARGETS = [told(1, 0, 1.0, 0.5), told(1, 1, 3.0, 0.1)]


def summarised(folder: Path, *trials, **others):
    """Rows of "norm_summary" of made-up trials: each (norms, iterations' update norms, targets)."""
    files, methods = {}, []
    for number, (measured, updates, targets) in enumerate(trials, start=1):
        iterations = [ITERATION | {"k": k, "update_norm": norm} for k, norm in enumerate(updates, start=1)]
        made = NormFiles(*(folder / f"{name}{number}.parquet" for name in ("norms", "iterations", "targets")))
        for rows, path, schema in zip((measured, iterations, targets), made, NormFiles._fields, strict=True):
            parquet.write(rows, path, schema, {})
        methods.append(RUN | {"trial": number, "delta_p": [1.0] * len(updates)} | others)
        files["tiny", "facts", "memit", number] = made
    runs, _ = experiment(folder / "made", methods, cases=2)
    rows = norm_summary_rows(runs, files)
    parquet.write(rows, folder / "summary.parquet", "norm_summary", {})
    return rows


def test_growth_and_condition_are_those_of_the_worst_layer_and_residuals_means_over_cases(tmp_path):
    unedited, once = summarised(tmp_path, (UNEDITED + ONCE, [0.7], TARGETS))
    assert (unedited["growth"], unedited["condition"], unedited["condition_growth"]) == (1.0, 8.0, 1.0)
    assert unedited["update_norm"] is unedited["residual_after"] is unedited["reading"] is None
    assert (once["growth"], once["condition"], once["condition_growth"]) == (1.2, 24.0, 5.0)
    assert once["update_norm"] == 0.7 and once["reading"] == MORE_SPREAD
    assert once["residual_before"] == pytest.approx(1.0) and once["residual_after"] == pytest.approx(0.15)


def test_means_are_taken_over_the_trials(tmp_path):
    other = [told(1, 0, 1.0, 0.01)]
    rows = summarised(tmp_path, (UNEDITED + ONCE, [0.7], TARGETS), (UNEDITED + ONCE, [0.1], other))
    assert rows[1]["update_norm"] == pytest.approx(0.4) and rows[1]["trials"] == 2
    assert rows[1]["residual_after"] == pytest.approx((0.15 + 0.005) / 2) and rows[1]["reading"] == SETTLED


def test_what_was_not_kept_or_not_told_is_empty(tmp_path):
    """Weights of k = 2 alone were kept; EasyEdit does not tell its residuals."""
    untold = [told(k, 0, None, None, hidden=None, ppl_target=None) for k in (1, 2)]
    twice = [row | {"k": 2} for row in ONCE]
    rows = summarised(tmp_path, (UNEDITED + twice, [0.7, 0.1], untold))
    assert [row["growth"] for row in rows] == [1.0, None, 1.2]
    assert [row["update_norm"] for row in rows] == [None, 0.7, 0.1]
    assert [row["residual_after"] for row in rows] == [row["reading"] for row in rows] == [None] * 3


def test_cases_that_were_dropped_have_no_residual_and_a_run_of_none_else_is_blowing_up(tmp_path):
    dropped = told(1, 1, math.nan, math.nan, ppl_target=math.inf)
    (tmp_path / "all").mkdir()
    (_, some), (_, none) = (
        summarised(tmp_path, (UNEDITED + ONCE, [0.7], [TARGETS[0], dropped])),
        summarised(tmp_path / "all", (UNEDITED + ONCE, [0.7], [dropped])),
    )
    assert some["residual_after"] == 0.25 and some["reading"] == MORE_SPREAD
    assert math.isnan(none["residual_after"]) and none["reading"] == BLOWING_UP


def test_a_run_without_its_files_or_without_the_unedited_norms_is_one_line(tmp_path):
    with pytest.raises(InputError, match=r"norms1\.parquet: no rows for k = 0"):
        summarised(tmp_path, (ONCE, [0.7], TARGETS))
    runs, _ = experiment(tmp_path / "other", [RUN | {"delta_p": [1.0]}], cases=2)
    with pytest.raises(InputError, match="tiny/facts/memit/trial1: no norms were given"):
        norm_summary_rows(runs, {})


@pytest.mark.parametrize(
    ("growth", "condition_growth", "residual", "expected"),
    [
        (1.01, 1.0, 0.5, MORE_SPREAD),
        (1.01, 1.0, RESIDUAL, SETTLED),
        (GROWTH, CONDITION, 0.0, SETTLED),
        (GROWTH + 0.01, 1.0, 0.5, BLOWING_UP),
        (1.0, CONDITION + 0.1, 0.0, BLOWING_UP),
        (2.0, 1.0, None, BLOWING_UP),
        (1.0, math.inf, 0.0, BLOWING_UP),
        (None, None, math.nan, BLOWING_UP),
        (1.0, 1.0, None, None),
        (None, None, 0.5, None),
    ],
)
def test_the_reading_follows_its_thresholds(growth, condition_growth, residual, expected):
    assert reading(growth, condition_growth, residual) == expected


# -- print and figure ---------------------------------------------------------------------------------------


UNTOUCHED = dict.fromkeys(("update_norm", "residual_before", "residual_after", "reading"))
ROWS = [
    norm_row(k=0, growth=1.0, condition_growth=1.0, **UNTOUCHED),
    norm_row(),
    norm_row("rome", k=0, growth=1.0, condition_growth=1.0, **UNTOUCHED),
    norm_row("rome", growth=2.5e7, condition=math.inf, condition_growth=math.nan, reading=BLOWING_UP),
    norm_row("rome", k=2, growth=None, condition=None, condition_growth=None, reading=None),
]


def test_the_markdown_prints_what_was_measured_and_the_thresholds():
    lines = printed("norms", ROWS, ["A note."], {"facts": "Facts", "rome": "Rome"}).md.splitlines()
    cells = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines if line.startswith("| ")]
    assert cells[2] == ["tiny, Facts", "MEMIT", "0", "", "1.000", "22.76", "1.000", "", "", ""]
    assert cells[3] == ["", "", "1", "11.25", "1.003", "22.76", "0.980", "65.5", "2.9", "settled"]
    assert cells[5][3:] == ["11.25", "2.50E+07", "inf", "NaN", "65.5", "2.9", "blowing up"]
    assert cells[6][1:] == ["", "2", "11.25", "", "", "", "65.5", "2.9", ""]
    told = " ".join(lines)
    assert all(words in told for words in ("growth above 1.5", "above 10 times", "above 10 % of ||h||"))
    assert lines[-1] == "- A note." and NORMS.empty in printed("norms", []).md


def test_the_csv_holds_the_rows_as_they_are():
    lines = list(csv.DictReader(io.StringIO(printed("norms", ROWS).csv)))
    assert list(lines[0]) == SCHEMAS["norm_summary"].names
    assert (lines[1]["growth"], lines[3]["condition"], lines[4]["growth"]) == ("1.0034", "inf", "")


def test_the_tex_escapes_names_and_says_where_there_is_nothing():
    tex = printed("norms", ROWS, ["50 %"], {"rome": "R_1 & co"}).tex
    assert r"R\_1 \& co" in tex and r"50 \%" in tex and tex.count(r"\addlinespace") == 1
    assert NORMS.empty in printed("norms", []).tex


@pytest.mark.filterwarnings("error")
def test_the_figure_has_four_panels_a_pair_and_marks_what_is_not_finite():
    figure = norms(ROWS, {"facts": "$F"})
    figure.draw_without_rendering()
    axes = figure.axes
    assert [panel.get_title() for panel in axes][:2] == ["norm of the update", "growth of the weights"]
    assert len(axes) == 4 and axes[1].get_yscale() == "log" and axes[3].get_yscale() == "linear"
    assert "NaN" in [text.get_text() for text in axes[2].texts]
    levels = [line.get_ydata()[0] for panel in axes for line in panel.lines if line.get_linestyle() == "--"]
    assert levels == [GROWTH, RESIDUAL]  # condition stays far from its threshold


@pytest.mark.filterwarnings("error")  # matplotlib warns where panels have no room
def test_six_pairs_of_model_and_dataset_have_room():
    rows = [
        norm_row(method, k, model, dataset, residual_after=0.5 / (k + 1))
        for model in ("gpt2-xl", "gpt-j-6b", "llama-2-7b")
        for dataset in ("counterfact", "zsre")
        for method in ("memit", "pmet")
        for k in range(6)
    ]
    figure = norms(rows, {})
    figure.draw_without_rendering()
    width, height = figure.get_size_inches()
    assert width <= 16 and height <= 9 and len(figure.axes) == 24


def test_the_figure_is_the_same_bytes_each_time_and_a_sentence_without_runs(tmp_path):
    for stem in ("a", "b"):
        save(norms(ROWS, {}), tmp_path / f"{stem}.pdf", tmp_path / f"{stem}.png")
    for end, magic in (("pdf", b"%PDF"), ("png", b"\x89PNG")):
        one, other = ((tmp_path / f"{stem}.{end}").read_bytes() for stem in ("a", "b"))
        assert one == other and one.startswith(magic)
    assert [text.get_text() for text in norms([], {}).texts] == [NOTHING]
