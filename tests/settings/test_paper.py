"""The experiments that are shipped: their jobs, counted by a dry run that fetches nothing, and their plan."""

import json
import os
import subprocess
import sys
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import yaml
from snakemake.utils import update_config
from tiers import long_but
from workflow import REPOSITORY, Outcome

from reedit.errors import InputError
from reedit.methods.algorithms import ALGORITHMS
from reedit.methods.recipe import Recipe
from reedit.settings.definitions import Texts
from reedit.settings.experiment import Experiment
from reedit.storage.schemas import SCHEMAS
from reedit.use.costs import Shape, Sizes, edit_cost, iteration_work, moment_cost, protected_work, tokens_read
from reedit.use.plan import GPUS, calibrated, job_costs, job_counts, plan_lines


def experiment(*names: str) -> Experiment:
    """config.yaml with the named experiments laid over it, as snakemake merges them."""
    config: dict = {}
    for path in [REPOSITORY / "config.yaml", *(REPOSITORY / f"experiments/{name}.yaml" for name in names)]:
        update_config(config, yaml.safe_load(path.read_text()))
    return Experiment(config, REPOSITORY)


def dry_run(folder: Path, *names: str) -> Outcome:
    command = [sys.executable, "-m", "snakemake", "--snakefile", str(REPOSITORY / "Snakefile"), "--dry-run"]
    command += ["--cores", "1", "--configfile", *(str(REPOSITORY / f"experiments/{n}.yaml") for n in names)]
    environment = {**os.environ, "XDG_CACHE_HOME": str(folder / "cache"), "PYTHONPATH": ""}
    run = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, timeout=300)
    return Outcome(run.returncode, run.stdout + run.stderr)


def test_the_papers_jobs_are_all_there(tmp_path: Path) -> None:
    """3 models; 3 methods x 2 datasets x 3 trials each, assisted 6, 4 and 2 methods; in two protocols."""
    outcome = dry_run(tmp_path, "paper")
    assert outcome.status == 0, outcome.output
    runs = 2 * (3 * 3 * 2 * 3 + 6 + 4 + 2)
    expected = {
        "fetch_source": 3
        + 1
        + 1
        + 3
        + 3
        + 3,  # models, Wikipedia, ME-PPL-50, subsets of both, eligible cases
        "prepare_model": 3,
        "normalise_facts": 2 + 3,
        "filter_neighbors": 3,
        "sample_split": 2 * 3 * 3,  # corrected leaves out what does not align, released takes all
        "sample_prefixes": 3 * 3,  # the model's, and ROME's own in both protocols
        "collect_moments": 2 * 3,  # of the released runs and of the corrected ones
        "decompose_moments": 0,  # its methods need none
        "edit_facts": runs,
        "regularise_edits": 0,
        "score_edits": runs,
        "check_collapse": runs,
        "ask_groups": 0,  # of datasets with groups
        "generate_answers": 0,  # on request
        "generate_texts": 0,  # likewise
        "measure_norms": runs,
    }
    assert {rule: outcome.jobs.get(rule, 0) for rule in expected} == expected
    assert job_counts(experiment("paper")) == expected


def test_the_papers_moments_are_of_the_published_articles_or_of_enough_tokens() -> None:
    """Released runs keep the published samples; corrected ones take a hundred times the key's width."""
    made = experiment("paper")
    for run in made.runs.values():
        corpus = made.asked.corpora[run.entry.corpus]
        expected = None if run.protocol == "released" else "100x"
        assert (corpus.samples, corpus.tokens) == (100_000, expected), run.method.name
    work = {(g.model, *g.names): g.cost.work for g in job_costs(made) if g.cost.rule == "collect_moments"}
    for model, keys in (("gpt2-xl", 6400), ("gpt-j-6b", 16384), ("llama-2-7b", 11008)):
        fewer, all_articles = work[model, "wikipedia-100x"], work[model, "wikipedia"]
        assert fewer / all_articles == pytest.approx(100 * keys / 6e7)


OTHERS = [
    ["paper", "paper-anew"],
    ["llama-2-collapse"],
    ["counterfact-cpu"],
    ["methods"],
    ["gemma"],
    ["sequential"],
    ["paper", "published", "sequential-gpu"],
]


@pytest.mark.parametrize("names", long_but(OTHERS, ["methods"].__eq__))
def test_every_other_experiment_is_planned_as_it_would_run(names: list[str], tmp_path: Path) -> None:
    outcome = dry_run(tmp_path, *names)
    assert outcome.status == 0, outcome.output
    counts = {rule: count for rule, count in job_counts(experiment(*names)).items() if count}
    assert {rule: outcome.jobs[rule] for rule in counts} == counts


@pytest.mark.parametrize(("model", "per_k"), [("gpt2-xl", 0.2), ("gpt-j-6b", 1.6), ("llama-2-7b", 0.9)])
def test_the_weights_kept_per_k_are_as_large_as_their_layers(model: str, per_k: float) -> None:
    disk = {
        group.cost.disk / 10
        for group in job_costs(experiment("paper"))
        if group.model == model and group.cost.rule == "edit_facts" and "rome" not in group.names
    }
    assert [round(value, 1) for value in disk] == [per_k]


def test_work_grows_with_edits_passes_and_rows() -> None:
    shape = Shape(parameters=1e9, layers=24, width=1000, keys=4000, vocabulary=50_000)
    sizes = Sizes(edits=10, templates=5)

    def recipe(algorithm: str = "memit", **changes: Any) -> Recipe:
        usual = {"layers": [3, 4], "v_num_grad_steps": 20} | changes
        return Recipe(ALGORITHMS[algorithm], usual, iterations=5)

    work = iteration_work(shape, recipe(), sizes)
    assert iteration_work(shape, recipe(), replace(sizes, edits=20)) == pytest.approx(2 * work)
    assert iteration_work(shape, recipe(v_num_grad_steps=40), sizes) > 1.5 * work
    assert work < iteration_work(shape, recipe(), replace(sizes, assisting=1)) < 1.3 * work
    shared = iteration_work(shape, recipe(), replace(sizes, processes=4))
    assert work / 4 < shared < work / 2  # SPREAD is not shared
    spread_only = replace(recipe(), spread_only=True)
    assert iteration_work(shape, spread_only, sizes, k=1) == work
    half = iteration_work(shape, spread_only, sizes, k=2)
    assert half < work / 2  # OPTIMIZATION is most of it
    one, last = (iteration_work(shape, recipe(layers=[layer]), sizes) for layer in (3, 4))
    both = iteration_work(shape, recipe("blue"), sizes)  # each with its own OPTIMIZATION
    assert max(one, last) < both < one + last
    assert edit_cost(shape, spread_only, sizes).work == pytest.approx(work + 4 * half)
    one_by_one, together = (edit_cost(shape, recipe(name), sizes) for name in ("rome", "memit"))
    assert one_by_one.share < together.share and one_by_one.double == 0 < together.double
    assert edit_cost(shape, replace(recipe(), extend_to=10), sizes).disk == 2 * together.disk


def test_batches_protect_keys_and_are_scored_along_the_way() -> None:
    shape = Shape(parameters=6e9, layers=28, width=4096, keys=16384, vocabulary=50_400)
    settings = {"layers": [3, 4, 5, 6, 7, 8], "v_num_grad_steps": 25, "mom2_update_weight": 15000}
    plain = Recipe(ALGORITHMS["memit"], settings, batch=100)
    sizes = Sizes(edits=10_000, templates=5)
    protecting = edit_cost(shape, replace(plain, protects="others"), sizes)
    assert 10 * edit_cost(shape, plain, sizes).double < protecting.double
    (a100,) = [device for device in GPUS if device.name == "A100"]
    assert a100.hours(replace(protecting, work=0.0), "float32") < 1  # SPREAD of 10,000 edits of GPT-J
    sums = [protected_work(1000, edits, 100) for edits in (1100, 2100, 3100, 4100)]
    later = [after - before for before, after in pairwise(sums)]
    assert later[2] == pytest.approx(later[1]), (
        "of more keys than a key has numbers a batch costs what the one before it did"
    )
    assert plain.along(400) == [] and replace(plain, checkpoints=2).along(500) == [200, 400]
    assert (
        edit_cost(shape, replace(plain, checkpoints=25), sizes).disk
        == 4 * edit_cost(shape, plain, sizes).disk
    )


def test_a_finished_run_tells_what_its_device_sustains(tmp_path: Path) -> None:
    from reedit.storage import parquet

    run = tmp_path / "edits/smollm2-135m/worldfacts/memit/trial1"
    run.mkdir(parents=True)
    names = SCHEMAS["iterations"].names
    rows = [dict.fromkeys(names, 1.0) | {"k": k, "seconds_total": 50.0} for k in (1, 2)]
    settings = {"layers": [4, 5], "v_num_grad_steps": 15}
    made_by = {"hyperparameters": settings, "prefix_templates": 5, "assisting": 0, "edits": 16}
    made_by |= {"device": "cpu", "device_name": "My GPU", "algorithm": "memit"}
    parquet.write(rows, run / "iterations.parquet", "iterations", made_by)
    made = experiment()
    (device,) = calibrated(made, tmp_path)
    assert device.name == "My GPU" and device.measured
    shape, recipe = made.asked.models["smollm2-135m"].shape, Recipe(ALGORITHMS["memit"], settings)
    sustained = pytest.approx(2 * iteration_work(shape, recipe, Sizes(edits=16, templates=5)) / 100)
    assert device.speeds["float32"] == sustained
    assert any("h, My GPU" in line for line in plan_lines(made, tmp_path))


def test_a_job_of_several_processes_is_planned_shorter_and_needs_more_memory() -> None:
    config = json.loads(json.dumps(experiment().config))
    config["models"]["smollm2-135m"]["processes"] = 4
    shared = Experiment(config, REPOSITORY)
    alone, four = (
        next(group.cost for group in job_costs(made) if group.cost.rule == "edit_facts")
        for made in (experiment(), shared)
    )
    assert four.work < alone.work / 2 and four.host == 4 * alone.host and four.gpu == alone.gpu
    assert "several processes" in "".join(plan_lines(shared, Path("nowhere")))


@pytest.mark.parametrize(
    ("tokens", "read"), [(None, 600), ("10x", 600), ("9x", 576), (599, 599), (700, 600), ("1x", 64)], ids=str
)
def test_a_corpus_is_planned_up_to_its_tokens_or_its_documents(tokens: int | str | None, read: int) -> None:
    """20 documents of at most 30 tokens, keys of 64 numbers."""
    shape = Shape(parameters=1e5, layers=6, width=32, keys=64, vocabulary=320)
    texts = Texts(format="lines", source="lines", samples=20, max_tokens=30, tokens=tokens)
    assert tokens_read(shape, texts) == read
    one, all_of_them = (moment_cost(shape, [1, 2], count) for count in (1, read))
    assert all_of_them.work == pytest.approx(read * one.work)
    assert replace(all_of_them, work=0) == replace(one, work=0), "memory and disk are those of the sums"


def test_norms_generation_and_fluency_are_planned_where_they_are_asked_for() -> None:
    config = json.loads(json.dumps(experiment().config))
    options = {"norms": "measure_norms", "generation": "generate_answers", "fluency": "generate_texts"}
    for asked in ({"norms": False}, {"norms": True, "generation": True}, {"norms": False, "fluency": True}):
        config["report"] |= {"generation": False} | asked
        made = Experiment(config, REPOSITORY)
        rules = {group.cost.rule for group in job_costs(made)}
        for name, rule in options.items():
            wanted = asked.get(name, False)
            assert (rule in rules, job_counts(made)[rule] > 0) == (wanted, wanted), rule


def test_a_smaller_dtype_is_planned_faster() -> None:
    made = experiment()
    hours = []
    for dtype in ("float32", "tfloat32", "bfloat16"):
        config = json.loads(json.dumps(made.config))
        config["models"]["smollm2-135m"]["dtype"] = dtype
        lines = plan_lines(Experiment(config, REPOSITORY), Path("nowhere"))
        (total,) = (line for line in lines if line.startswith("| all"))
        hours.append(float(total.split("|")[-3]))  # A100
        assert any(f"TFLOP/s in {dtype}," in line for line in lines)
    assert hours == sorted(hours, reverse=True)


def test_a_model_without_a_shape_is_one_line() -> None:
    made = experiment()
    config = json.loads(json.dumps(made.config))
    del config["models"]["smollm2-135m"]["shape"]
    with pytest.raises(
        InputError, match=r"config: models\.smollm2-135m\.shape: missing, needed by make plan"
    ):
        plan_lines(Experiment(config, REPOSITORY), Path("nowhere"))
