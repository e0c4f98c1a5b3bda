"""The workflow with every job on a pretended CUDA device: what a user with one GPU would have run."""

import shutil
from pathlib import Path

import pytest
from pretended_cuda import NAME, for_jobs, kernels_of
from safetensors.torch import load_file
from whole_path import UNCOMPARED, check_alike
from workflow import Experiment, changed, provenance, rows

pytestmark = pytest.mark.long
METHODS = ["memit", "na_memit", "pmet", "rome", "in_batches", "prune"]
RUN = "edits/tiny/facts/in_batches/trial1"
ON_DEVICE = {  # the rules that use a model, or factorise what is as large as one
    *("sample_prefixes", "filter_neighbors", "collect_moments", "decompose_moments", "trace_facts"),
    *("edit_facts", "regularise_edits", "score_edits", "check_collapse", "measure_norms"),
    "generate_answers",
}


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("cuda") / "site"


@pytest.fixture(scope="module")
def on_cuda(finished: Experiment, site: Path) -> Experiment:
    """The experiment that is finished on the CPU, and more methods, from nothing."""
    usual = finished.config["hyperparameters"]["memit"]["tiny"]
    first, *others = finished.config["runs"]
    config = changed(
        finished.config,
        methods__in_batches={"algorithm": "alphaedit", "batch": 5},
        hyperparameters__alphaedit={"tiny": usual | {"nullspace_threshold": 0.1, "L2": 0.1}},
        runs=[first | {"methods": METHODS}, *others],
        report__generation=True,
        tracing={"facts": 3, "samples": 2},
    )
    del config["hyperparameters"]["alphaedit"]["tiny"]["mom2_update_weight"]
    environment = for_jobs(site, finished.house / "scripts")
    experiment = Experiment(site.with_name("experiment"), finished.house, config, environment)
    outcome = experiment.run("tables", "results/tracing/tiny/facts.md")
    assert outcome.status == 0, outcome.output
    return experiment


def test_every_job_with_a_model_ran_on_the_device(on_cuda: Experiment, site: Path) -> None:
    ran: dict[str, int] = {}
    for log, kernels in kernels_of(site).items():
        rule = log.rpartition("results/logs/")[2].split("/")[0].removesuffix(".log")
        ran[rule] = min(kernels, ran.get(rule, kernels))
    assert {rule for rule, kernels in ran.items() if kernels} == ON_DEVICE
    for table in on_cuda.path("edits").rglob("iterations.parquet"):
        made_by = provenance(table)
        assert (made_by["device"], made_by["device_name"]) == ("cuda", NAME), table


def test_its_numbers_are_the_cpus(on_cuda: Experiment, finished: Experiment) -> None:
    kinds = ["edits/**/targets", "edits/**/iterations", "scores/**/*", "collapse/**/*", "norms/**/*"]
    kinds += ["neighbors/**/*", "prefixes/*"]
    compared = 0
    for kind in kinds:
        for table in sorted(finished.path("").glob(f"{kind}.parquet")):
            there = on_cuda.path(str(table.relative_to(finished.path(""))))
            found, expected = (
                [{n: v for n, v in row.items() if not n.startswith(UNCOMPARED)} for row in rows(path)]
                for path in (there, table)
            )
            check_alike(found, expected, 1e-2, str(there))
            compared += 1
    assert compared > 15


def test_alphaedit_in_batches_killed_goes_on_with_the_keys_of_its_state(on_cuda: Experiment) -> None:
    """Its state has keys from the device; those of the next batches are made there anew."""
    straight = {k: load_file(on_cuda.path(f"{RUN}/weights/k{k}.safetensors")) for k in (1, 2, 3)}
    expected = rows(on_cuda.path(f"{RUN}/targets.parquet"))
    for place in (RUN, "finished/tiny/facts/in_batches"):
        shutil.rmtree(on_cuda.path(place))
    goal, state = f"results/{RUN}/iterations.parquet", on_cuda.path("state/tiny/facts/in_batches/trial1")
    killed = on_cuda.run_killed(lambda: (state / "k1").exists(), goal)
    assert killed.status == -9, killed.output
    assert (state / "k1/memory.safetensors").exists() and not (state / "k3").exists()
    shutil.rmtree(on_cuda.folder / ".snakemake/locks", ignore_errors=True)  # as --unlock does
    outcome = on_cuda.run(goal)
    assert outcome.status == 0, outcome.output
    assert "resuming after iteration" in on_cuda.log("edit_facts/tiny/facts/in_batches/trial1.log")
    assert rows(on_cuda.path(f"{RUN}/targets.parquet")) == expected
    for k, weights in straight.items():
        check_alike(load_file(on_cuda.path(f"{RUN}/weights/k{k}.safetensors")), weights, 0.0)
