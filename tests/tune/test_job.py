"""The job on a tiny model: what it finds is a file that is read unchanged; facts of runs are never seen."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml
from tiny import save_tiny_model, tiny_corpus, tiny_facts

from reedit.errors import InputError
from reedit.methods.hyperparameters import as_mapping, check_for_model, read_hyperparameters
from reedit.methods.tunable import tunable
from reedit.prepare.apart import apart
from reedit.prepare.datasets import load_facts
from reedit.prepare.facts import NO_ANSWER, read_facts, write_facts
from reedit.prepare.preparation import prepare_model
from reedit.report.figures.drawing import save
from reedit.report.figures.tuning import tuning
from reedit.report.rows.tuning import read_tuning, values
from reedit.report.tables.tuning import hyperparameters_file, markdown
from reedit.storage import parquet
from reedit.tune import job
from reedit.tune.bench import Bench
from reedit.tune.job import facts_for, tune_hyperparameters
from reedit.tune.settings import TuneSettings
from reedit.tune.tuning import FRUITLESS

READING = {"format": "lines", "samples": 24, "max_tokens": 40}


def settings(**changes: Any) -> TuneSettings:
    said = {
        **{"algorithm": "memit", "facts": 3, "share": 0.25, "reach": {"efficacy": 50}, "seed": 0},
        **{"maximise": ["generalization", "specificity"], "minutes": 60, "windows": 2, "corpus": READING},
        **{"repository": "tiny", "dtype": "float32"},
    }
    return TuneSettings(**said | changes)


@pytest.fixture(autouse=True)
def few(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("reedit.tune.tuning.AT_MOST", {"optimization": 4, "spread": 7})


@pytest.fixture(scope="module")
def inputs(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("tuning")
    paths = {name: folder / name for name in ("model", "facts", "prefixes", "source", "split")}
    save_tiny_model(folder / "own", taught=True)
    prepare_model(folder / "own", paths["model"], {})
    (folder / "facts.json").write_text(json.dumps(tiny_facts()))
    write_facts(load_facts(folder / "facts.json").facts, paths["facts"], {})
    parquet.write([{"template": "The old town of. {}"}], paths["prefixes"], "prefixes", {})
    paths["source"].mkdir()
    (paths["source"] / "lines.txt").write_text(tiny_corpus())
    cases = [fact.case_id for fact in read_facts(paths["facts"])]
    taken = [{"trial": 1, "position": i, "case_id": case} for i, case in enumerate(cases[::3])]
    parquet.write(taken, paths["split"], "split", {})
    return paths


def tuned(inputs: dict[str, Path], folder: Path, **changes: Any) -> Path:
    rows = folder / "memit.parquet"
    tune_hyperparameters({**inputs, "rows": rows}, [inputs["split"]], folder / "state", settings(**changes))
    return rows


def test_what_is_found_is_a_file_that_is_read_unchanged(inputs: dict[str, Path], tmp_path: Path) -> None:
    found = read_tuning(tuned(inputs, tmp_path, current={"layers": [2, 3], **START}))
    file = tmp_path / "memit.yaml"
    file.write_text(hyperparameters_file(found, "tiny"))
    read = as_mapping(read_hyperparameters(file, "memit", "here"))
    assert {key: read[key] for key in values(found.found)} == values(found.found)
    check_for_model(read, 6, "model.layers.{}.mlp.down_proj")
    assert {row["part"] for row in found.rows} == {"layers", "optimization", "spread", "held out"}
    roles = [row["role"] for row in found.of("held out")]
    assert roles[0] == "found" and set(roles) <= {"found", "in use", "most specific", "fastest"}
    for row in found.of("held out"):
        assert row["efficacy_low"] <= row["efficacy"] <= row["efficacy_high"]
    page = markdown(found, "memit on tiny")
    assert "efficacy of 50 to be reached" in page and "| found " in page
    save(tuning(found, "memit on tiny"), tmp_path / "memit.pdf", tmp_path / "memit.png")
    assert not (tmp_path / "state/moments").exists() and (tmp_path / "state/journal").exists()


START = {"v_lr": 0.5, "v_num_grad_steps": 3, "clamp_norm_factor": 1, "v_weight_decay": 0.5}
START |= {"kl_factor": 0.0625, "mom2_update_weight": 4}


def test_the_facts_of_runs_and_those_held_out_are_never_searched_with(inputs: dict[str, Path]) -> None:
    taken = {row["case_id"] for row in parquet.read(inputs["split"], "split")}
    facts, held_out = facts_for(inputs["facts"], [inputs["split"]], settings(), inputs["model"])
    searched, other = ({fact.case_id for fact in some} for some in (facts, held_out))
    cases = [fact.case_id for fact in read_facts(inputs["facts"])]
    assert len(searched) == len(other) == 3 and not searched & other
    assert not (searched | other) & taken and searched | other <= set(apart(cases, 0.25, 0))
    whole = [{"trial": 1, "position": i, "case_id": case} for i, case in enumerate(cases)]
    split = inputs["split"].with_name("whole")
    parquet.write(whole, split, "split", {})
    with pytest.raises(InputError, match=r"cases are for tuning.*expected at least 2"):
        facts_for(inputs["facts"], [split], settings(), inputs["model"])


def test_a_share_is_the_same_in_any_order_and_for_any_part_of_the_cases() -> None:
    kept = apart(range(1000), 0.2, 7)
    assert len(kept) == 200 and kept == apart(range(999, -1, -1), 0.2, 7)
    assert set(kept) != set(apart(range(1000), 0.2, 8)) and kept != sorted(kept)
    few = apart(range(500), 0.2, 7)
    assert [case for case in apart(range(1000), 1.0, 7) if case < 500][:100] == few


def test_a_killed_job_goes_on_and_repeats_no_attempt(
    inputs: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made, optimize = [], Bench.optimize

    def counted(self: Bench, hyperparameters: dict) -> Any:
        if len(made) == 3:
            made.append("killed")
            raise KeyboardInterrupt
        made.append(dict(hyperparameters))
        return optimize(self, hyperparameters)

    monkeypatch.setattr(Bench, "optimize", counted)
    with pytest.raises(KeyboardInterrupt):
        tuned(inputs, tmp_path)
    found = read_tuning(tuned(inputs, tmp_path))
    kept = [values for values in made if values != "killed"]
    assert len(kept) > 3 and len({json.dumps(one) for one in kept}) == len(kept)
    told = [json.loads(row["hyperparameters"]) for row in found.of("optimization")]
    assert all(one in told for one in kept)


def test_facts_that_the_model_does_not_know_are_tuned_with(
    inputs: dict[str, Path], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """As questions tell no true answer, and small models know few: layers are compared by their gradients."""
    unknown = inputs | {"facts": tmp_path / "facts"}
    facts = [replace(fact, target_true=NO_ANSWER, paraphrases=()) for fact in read_facts(inputs["facts"])]
    write_facts(facts, unknown["facts"], {})
    reach = {"efficacy": 50, "generalization": 10}  # of which no fact has a prompt
    found = read_tuning(tuned(unknown, tmp_path, reach=reach))
    assert "knows none of 0 facts" in caplog.text and "by their gradients" in caplog.text
    assert found.found["efficacy"] is not None and found.found["generalization"] is None


def test_what_was_tried_behind_other_prefixes_is_not_taken(inputs: dict[str, Path], tmp_path: Path) -> None:
    tuned(inputs, tmp_path)
    spent = (tmp_path / "state/windows.json").stat().st_mtime_ns
    other = inputs | {"prefixes": tmp_path / "prefixes"}
    parquet.write([{"template": "A house by the sea. {}"}], other["prefixes"], "prefixes", {})
    tuned(other, tmp_path)
    assert (tmp_path / "state/windows.json").stat().st_mtime_ns > spent


def test_facts_of_one_case_alone_are_refused_at_once(inputs: dict[str, Path], tmp_path: Path) -> None:
    facts = read_facts(inputs["facts"])
    write_facts(facts, tmp_path / "facts", {}, [[fact.case_id for fact in facts]])
    with pytest.raises(InputError, match="of one case"):
        facts_for(tmp_path / "facts", [], settings(share=1.0), inputs["model"])


@pytest.mark.long
def test_more_minutes_go_on_from_what_was_tried(inputs: dict[str, Path], tmp_path: Path) -> None:
    first = read_tuning(tuned(inputs, tmp_path, minutes=0.001))
    more = read_tuning(tuned(inputs, tmp_path))
    before, after = ([r["hyperparameters"] for r in t.of("optimization")] for t in (first, more))
    assert len(after) > len(before) and after[: len(before)] == before


def test_values_that_never_have_a_solution_end_in_one_line(
    inputs: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    spread, tried = Bench.spread, []

    def unsolved(self: Bench, hyperparameters: dict, targets: Any) -> Any:
        tried.append(hyperparameters)
        if len(tried) > 3:  # the layers were compared
            raise InputError("SPREAD's system is not positive definite")
        return spread(self, hyperparameters, targets)

    monkeypatch.setattr(Bench, "spread", unsolved)
    with pytest.raises(InputError, match="SPREAD has no solution with any of the values tried"):
        tuned(inputs, tmp_path)
    assert len(tried) == 3 + FRUITLESS


# the fields of FTHyperParams in EasyEdit's 14cea82, which reads no file with another key
EASYEDITS_FT = {
    "layers",
    "num_steps",
    "lr",
    "weight_decay",
    "kl_factor",
    "norm_constraint",
    "device",
    "alg_name",
}
EASYEDITS_FT |= {"model_name", "objective_optimization", "batch_size", "model_parallel", "rewrite_module_tmp"}
EASYEDITS_FT |= {"layer_module_tmp", "mlp_module_tmp", "attn_module_tmp", "ln_f_module", "lm_head_module"}


@pytest.mark.parametrize("algorithm", ["ft_m", "locft_bf", "ultraedit", "betaedit", "nse"])
def test_every_kind_of_algorithm_is_tuned(algorithm: str, inputs: dict[str, Path], tmp_path: Path) -> None:
    rows = tmp_path / "found.parquet"
    asked = settings(algorithm=algorithm, reach={}, windows=1)
    tune_hyperparameters({**inputs, "rows": rows}, [], tmp_path / "state", asked)
    found, keys = read_tuning(rows), tunable(algorithm)
    file, title = tmp_path / "found.yaml", f"{algorithm} on tiny"
    file.write_text(hyperparameters_file(found, "tiny"))
    read = as_mapping(read_hyperparameters(file, algorithm, "here"))
    assert {"layers", *keys.start} <= read.keys() and len(found.of("spread")) == 7
    assert bool(found.of("optimization")) == bool(keys.optimization)
    if algorithm == "ft_m":
        assert yaml.safe_load(file.read_text()).keys() == EASYEDITS_FT
    page = markdown(found, title)
    assert ("## Whole edits" in page) != ("## OPTIMIZATION alone" in page)
    save(tuning(found, title), tmp_path / "found.pdf", tmp_path / "found.png")


def test_a_spectrum_is_made_where_it_is_read(inputs: dict[str, Path], tmp_path: Path) -> None:
    rows = tmp_path / "alphaedit.parquet"
    asked = settings(algorithm="alphaedit", minutes=0.001, reach={})
    tune_hyperparameters({**inputs, "rows": rows}, [], tmp_path / "state", asked)
    found = read_tuning(rows)
    assert {"L2", "nullspace_threshold"} <= values(found.found).keys()
    assert "AlphaEdit" in hyperparameters_file(found, "tiny")
    assert job.NEIGHBORS == 5
