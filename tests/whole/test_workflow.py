"""The whole workflow, from fetching to the PDF, on a tiny model: what users get, see and can rely on."""

import base64
import csv
import gzip
import itertools
import json
import math
import os
import re
import shutil
import subprocess
import time
from collections import Counter
from operator import itemgetter
from pathlib import Path
from zipfile import ZipFile

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from tiny import tiny_facts
from workflow import (
    CASES,
    HAS_ENGINE,
    Experiment,
    changed,
    edited,
    provenance,
    rows,
    timeless,
    tiny_config,
    verify,
    without,
)

from reedit.errors import InputError
from reedit.evaluate.fluency import fluency
from reedit.jobs.code_digest import Code
from reedit.report.tables.catalog import TABLES
from reedit.report.tables.paper import NUMBERS
from reedit.settings.experiment import Experiment as Settings
from reedit.settings.overlays import overlaid
from reedit.storage.yaml_files import read_mapping

PLAIN = [f"tiny/facts/{method}/trial1" for method in ("memit", "na_memit")]
RELEASED = [f"tiny/facts/memit_released/trial{trial}" for trial in (1, 2)]
RUNS = {run: 3 for run in PLAIN} | {run: 1 for run in RELEASED}  # run -> K
ITERATIONS = {run: [0, *range(1, last + 1)] for run, last in RUNS.items()}
# the paper's ten tables, differences, norms and the summary of the comparison; no model of the paper's runs
REPORT = {"summarise_runs": 1, "render_table": 13, "draw_figure": 8, "compile_pdf": 1, "all": 1}
REPORT |= {"summarise_results": 5, "render_page": 1}  # cases and an example, too
BESIDE = ("compile_pdf", "render_page", "all")  # not asked for with the tables

INT, FLOAT, TEXT = pa.int64(), pa.float64(), pa.string()
NEIGHBOR = pa.struct(
    [
        ("subject", TEXT),
        ("prompt", TEXT),
        ("object", TEXT),
        ("given", TEXT),
        ("start", pa.int64()),
        ("given_start", pa.int64()),
    ]
)
CONTRACT = {  # design, section 3
    "facts": dict(
        case_id=INT,
        relation=TEXT,
        subject=TEXT,
        prompt=TEXT,
        target_new=TEXT,
        target_true=TEXT,
        paraphrases=pa.list_(TEXT),
        neighbors=pa.list_(NEIGHBOR),
    ),
    "neighbors": dict(
        case_id=INT,
        neighbor=INT,
        subject=TEXT,
        prompt=TEXT,
        object=TEXT,
        predicted=TEXT,
        kept=pa.bool_(),
        order=INT,
    ),
    "splits": dict(trial=INT, position=INT, case_id=INT),
    "prefixes": dict(template=TEXT),
    "targets": dict(
        k=INT,
        case_id=INT,
        steps=INT,
        ppl_initial=FLOAT,
        ppl_target=FLOAT,
        ppl_edited=FLOAT,
        hidden_norm=FLOAT,
        delta_norm=FLOAT,
        residual_before=FLOAT,
        residual_after=FLOAT,
    ),
    "iterations": dict(
        k=INT,
        ppl_initial=FLOAT,
        ppl_target=FLOAT,
        ppl_edited=FLOAT,
        delta_p=FLOAT,
        delta_p2=FLOAT,
        ppl_initial_median=FLOAT,
        ppl_target_median=FLOAT,
        ppl_edited_median=FLOAT,
        ppl_initial_gmean=FLOAT,
        ppl_target_gmean=FLOAT,
        ppl_edited_gmean=FLOAT,
        update_norm=FLOAT,
        weight_norm=FLOAT,
        seconds_optimization=FLOAT,
        seconds_spread=FLOAT,
        seconds_total=FLOAT,
        peak_memory_mb=FLOAT,
    ),
    "scores": dict(
        k=INT,
        case_id=INT,
        metric=TEXT,
        prompt=TEXT,
        accuracy=FLOAT,
        success=FLOAT,
        exact_match=FLOAT,
        logp_new=FLOAT,
        logp_true=FLOAT,
        predicted=TEXT,
        after=INT,
    ),
    "collapse": dict(k=INT, text=TEXT, ppl_released=FLOAT, ppl=FLOAT, after=INT),
}


def schema(path: Path) -> dict:
    return {column.name: column.type for column in pq.read_schema(path)}


# -- results ------------------------------------------------------------------------------------------------


def test_every_table_has_the_columns_and_types_of_the_contract(finished):
    places = {"facts": ["facts/facts"], "neighbors": ["neighbors/tiny/facts"], "prefixes": ["prefixes/tiny"]}
    places["splits"] = [f"splits/tiny/facts/{p.stem}" for p in finished.path("splits/tiny/facts").iterdir()]
    assert len(places["splits"]) == 2
    for run in RUNS:
        for name in ("targets", "iterations"):
            places.setdefault(name, []).append(f"edits/{run}/{name}")
        for name in ("scores", "collapse"):
            places.setdefault(name, []).append(f"{name}/{run}")
    for name, expected in CONTRACT.items():
        for place in places[name]:
            assert list(schema(finished.path(f"{place}.parquet")).items()) == list(expected.items()), place


def test_rows_are_in_a_deterministic_order_and_k_counts_from_the_unedited_model(finished):
    facts = rows(finished.path("facts/facts.parquet"))
    assert [row["case_id"] for row in facts] == [100 + i for i in range(CASES)]
    neighbors = rows(finished.path("neighbors/tiny/facts.parquet"))
    listed = [(row["case_id"], i) for row in facts for i in range(len(row["neighbors"]))]
    assert [(row["case_id"], row["neighbor"]) for row in neighbors] == listed
    for case_id in {row["case_id"] for row in neighbors}:
        ranks = [row["order"] for row in neighbors if row["case_id"] == case_id]
        assert sorted(ranks) == list(range(len(ranks)))
    cases = {run: [row["case_id"] for row in facts] for run in PLAIN}
    (split,) = finished.path("splits/tiny/facts").glob("3x2*.parquet")
    for row in rows(split):
        cases.setdefault(RELEASED[row["trial"] - 1], []).append(row["case_id"])
    for run, ks in ITERATIONS.items():
        for name, expected in [
            ("iterations", ks[1:]),
            ("targets", [(k, c) for k in ks[1:] for c in cases[run]]),
        ]:
            found = rows(finished.path(f"edits/{run}/{name}.parquet"))
            assert [
                row["k"] if name == "iterations" else (row["k"], row["case_id"]) for row in found
            ] == expected
        scores = rows(finished.path(f"scores/{run}.parquet"))
        asked = {k: [(r["case_id"], r["metric"], r["prompt"]) for r in scores if r["k"] == k] for k in ks}
        assert list(dict.fromkeys(row["k"] for row in scores)) == ks
        assert all(asked[k] == asked[0] for k in ks)
        assert list(dict.fromkeys(case for case, _, _ in asked[0])) == cases[run]
        assert {metric for _, metric, _ in asked[0]} == {"efficacy", "generalization", "specificity"}
        texts = rows(finished.path(f"collapse/{run}.parquet"))
        assert [row["k"] for row in texts] == [k for k in ks for _ in range(4)]


def test_the_methods_of_an_entry_evaluate_the_same_prompts(finished):
    asked = [
        [
            (row["case_id"], row["metric"], row["prompt"])
            for row in rows(finished.path(f"scores/{run}.parquet"))
        ]
        for run in PLAIN
    ]
    assert asked[0] == asked[1]


def test_assistance_changes_the_targets(finished):
    plain, assisted = (rows(finished.path(f"edits/{run}/targets.parquet")) for run in PLAIN)
    before = [[row["ppl_initial"] for row in found[:CASES]] for found in (plain, assisted)]
    assert before[0] == pytest.approx(before[1], rel=1e-5)  # other rows are run together
    assert all(a["ppl_target"] != b["ppl_target"] for a, b in zip(plain, assisted, strict=True))


def test_trials_are_mutually_exclusive(finished):
    (split,) = finished.path("splits/tiny/facts").glob("3x2*.parquet")
    found = rows(split)
    assert [(row["trial"], row["position"]) for row in found] == [(t, p) for t in (1, 2) for p in range(3)]
    assert len({row["case_id"] for row in found}) == 6


def test_weights_are_cumulative_updates_under_the_parameters_own_names(finished):
    model = load_file(finished.path("models/tiny") / "model.safetensors")
    names = [f"model.layers.{layer}.mlp.down_proj.weight" for layer in (1, 2, 3)]
    for run, last in RUNS.items():
        folder = finished.path(f"edits/{run}/weights")
        files = {p.name for p in folder.iterdir() if p.name[0] != "."}
        assert files == {f"k{k}.safetensors" for k in range(1, last + 1)}
        sums = {}
        for k in range(1, last + 1):
            updates = load_file(folder / f"k{k}.safetensors")
            assert sorted(updates) == names
            for name, update in updates.items():
                assert str(update.dtype) == "torch.float32" and update.shape == model[name].shape
            row = rows(finished.path(f"edits/{run}/iterations.parquet"))[k - 1]
            steps = [update - sums.get(name, 0) for name, update in updates.items()]
            step = sum(float(step.double().square().sum()) for step in steps) ** 0.5
            assert step == pytest.approx(row["update_norm"], rel=1e-4)
            edited = [model[name].double() + updates[name].double() for name in names]
            norm = sum(float(weight.square().sum()) for weight in edited) ** 0.5
            assert norm == pytest.approx(row["weight_norm"], rel=1e-5)
            sums = updates


def test_moments_are_symmetric_and_say_what_they_were_taken_over(finished):
    for layer in (1, 2, 3):
        with safe_open(finished.path(f"moments/tiny/lines/{layer}.safetensors"), "pt") as file:
            moment, metadata = file.get_tensor("moment"), file.metadata()
        assert moment.shape == (64, 64) and str(moment.dtype) == "torch.float32"
        assert moment.allclose(moment.T) and moment.diagonal().min() > 0
        assert metadata["corpus"] == "lines" and int(metadata["samples"]) == 40
        assert int(metadata["max_tokens"]) == 32 and int(metadata["count"]) > 2 * 64


@pytest.mark.long
def test_moments_of_a_multiple_of_the_key_are_of_so_many_tokens(again):
    again.config["corpora"]["lines"]["tokens"] = "5x"
    outcome = again.run("--", "results/moments/tiny/lines")
    assert outcome.status == 0 and outcome.jobs == {"collect_moments": 1}, outcome.output
    for layer in (1, 2, 3):
        with safe_open(again.path(f"moments/tiny/lines/{layer}.safetensors"), "pt") as file:
            metadata = file.metadata()
        assert (metadata["count"], metadata["tokens"]) == (str(5 * 64), "5x")
        assert int(metadata["samples"]) < 40


@pytest.mark.long
def test_moments_go_out_as_npz_and_come_back_once_they_are_found_to_be_the_models(finished, again, tmp_path):
    exports = "results/exports/tiny/lines_stats"
    again.config["sources"]["npz"] = {"kind": "folder", "path": str(tmp_path / "npz")}
    again.config["corpora"]["back"] = {"format": "released-statistics", "source": "npz", "check": "lines"}
    assert again.run("--", exports).status == 0
    shutil.copytree(again.folder / exports, tmp_path / "npz")
    again.config["runs"][0] |= {"methods": ["memit"], "corpus": "back"}
    outcome = again.run("--", "results/moments/tiny/back")
    assert outcome.status == 0, outcome.output
    assert outcome.jobs == {"fetch_source": 1, "import_moments": 1}
    for layer in (1, 2, 3):
        with safe_open(again.path(f"moments/tiny/back/{layer}.safetensors"), "pt") as file:
            moment, metadata = file.get_tensor("moment"), file.metadata()
        with safe_open(finished.path(f"moments/tiny/lines/{layer}.safetensors"), "pt") as file:
            assert moment.allclose(file.get_tensor("moment"), rtol=3e-7, atol=0)
            assert metadata["count"] == file.metadata()["count"]
        assert (metadata["corpus"], metadata["samples"]) == ("back", "40")
        assert metadata["imported_from"] == f"model.layers.{layer}.mlp.down_proj_float32_mom2_40.npz"
        assert len(metadata["sha256"]) == 64 and "cosine" in metadata["fingerprint"]
    names = [f"model.layers.{layer}.mlp.down_proj_float32_mom2_40.npz" for layer in (1, 2)]
    shutil.copy(tmp_path / "npz" / names[0], tmp_path / "npz" / names[1])  # layer 1 under the name of layer 2
    outcome = again.run("--", "results/moments/tiny/back")
    assert outcome.status != 0 and len(outcome.errors) == 1, outcome.output
    assert f"{names[1]}: not a moment of this model and layer: cosine" in outcome.errors[0]


def test_the_prepared_model_loads_as_any_other(finished):
    from transformers import AutoModelForCausalLM, AutoTokenizer

    folder = finished.path("models/tiny")
    assert AutoModelForCausalLM.from_pretrained(folder).config.model_type == "llama"
    assert AutoTokenizer.from_pretrained(folder)("Kyoto")["input_ids"]


def test_provenance_names_what_made_a_table(finished):
    revision = json.loads((finished.path("models/tiny") / "revision.json").read_text())["revision"]
    for run in RUNS:
        for name in ("targets", "iterations"):
            made_by = provenance(finished.path(f"edits/{run}/{name}.parquet"))
            assert made_by["model_revision"] == revision
            assert Code().digest(finished.house / "scripts/edit_facts.py") in made_by.values()
            assert made_by["seed"] == 0 and made_by["corpus"] == "lines"
            assert made_by["protocol"] == ("released" if "released" in run else "corrected")
            assert re.fullmatch("[0-9a-f]{16}", made_by["hyperparameters_hash"])
            assert {"torch", "transformers", "snakemake"} <= set(made_by["packages"])
        for name in ("scores", "collapse"):
            made_by = provenance(finished.path(f"{name}/{run}.parquet"))
            assert made_by["model_revision"] == revision and made_by["packages"]


@pytest.mark.parametrize("number", ["1", "2", "6", "8"])
def test_tables_are_equal_to_their_summary(finished, number):
    summary = rows(finished.path(f"summary/table{number}.parquet"))
    assert summary
    with open(finished.path(f"tables/table{number}.csv")) as file:
        lines = list(csv.DictReader(file))
    keys = list(dict.fromkeys((row["row"], row["method"], row["k"]) for row in summary))
    assert [(line["method"], int(line["k"])) for line in lines] == [key[1:] for key in keys]
    for (place, *_), line in zip(keys, lines, strict=True):
        for row in summary:
            by_definition = row["k"] == 0 and row["measure"] in ("specificity_accuracy", "score_accuracy")
            if row["row"] == place and not by_definition:
                assert line[row["measure"]] == ("" if row["mean"] is None else repr(row["mean"]))
    markdown = finished.path(f"tables/table{number}.md").read_text()
    assert all(method.upper() in markdown for _, method, k in keys if k)
    assert "toprule" in finished.path(f"tables/table{number}.tex").read_text()


def test_figures_and_the_document_are_there(finished):
    for name in (
        "perplexity",
        "example",
        "underedit",
        "distribution",
        "scores",
        "tradeoff",
        "differences",
        "norms",
    ):
        assert finished.path(f"figures/{name}.pdf").read_bytes().startswith(b"%PDF")
        assert finished.path(f"figures/{name}.png").read_bytes().startswith(b"\x89PNG")
    if not HAS_ENGINE:
        pytest.skip("no LaTeX engine here")
    assert (finished.folder / "reports/tables.pdf").read_bytes().startswith(b"%PDF")


def test_the_page_to_explore_holds_every_run(finished):
    if not HAS_ENGINE:
        pytest.skip("no LaTeX engine here, and nothing but the tables was asked for")
    page = (finished.folder / "reports/explore.html").read_text(encoding="utf-8")
    parts = dict(re.findall(r'<script type="text/plain" id="part-(\w+)">([^<]*)</script>', page))
    overview, *runs = (
        json.loads(gzip.decompress(base64.b64decode(parts[name])))
        for name in ("overview", *(f"run{number}" for number in range(len(RUNS))))
    )
    found = {
        "/".join(
            (*(method[key]["name"] for key in ("model", "dataset", "method")), f"trial{trial['trial']}")
        ): trial
        for method in overview["methods"]
        for trial in method["trials"]
    }
    assert set(found) == set(RUNS)
    for name, trial in found.items():
        prompts = runs[int(trial["run"].removeprefix("run"))]["prompts"]
        scores = rows(finished.path(f"scores/{name}.parquet"))
        said = [prompts["words"][word] for at in prompts["predicted"] for word in at]
        assert said == [row["predicted"] for row in scores]
        assert prompts["k"] == ITERATIONS[name]


def test_every_log_ends_with_time_and_peak_memory(finished):
    logs = [log for log in finished.path("logs").rglob("*.log") if not log.name.endswith(".tex.log")]
    goals = sum(finished.outcome.jobs.get(name, 0) for name in ("all", "tables"))
    assert len(logs) == sum(finished.outcome.jobs.values()) - goals
    for log in logs:
        last = log.read_text().splitlines()[-1]
        assert re.search(r"INFO done in \d+\.\d s, peak memory \d+ MiB$", last), log


def test_progress_is_shown_in_the_terminal_and_in_the_log(finished):
    line = r"k=1 OPTIMIZATION, passes: \d+ of \d+ \(100 %\)"
    assert re.search(
        rf"^\[edit_facts {PLAIN[0].replace('/', ' ')}\] {line}", finished.outcome.output, re.MULTILINE
    )
    assert re.search(line, finished.log(f"edit_facts/{PLAIN[0]}.log"))


# -- reruns -------------------------------------------------------------------------------------------------


def test_a_second_run_does_nothing(finished):
    outcome = finished.run(*([] if HAS_ENGINE else ["tables"]))
    assert outcome.nothing_to_do, outcome.output


def test_a_fresh_checkout_of_the_same_code_reruns_nothing(finished):
    for file in [finished.house / "Snakefile", *(finished.house / "scripts").rglob("*.py")]:
        os.utime(file)
    assert finished.dry_run("tables").nothing_to_do


def test_a_comment_reruns_nothing(finished):
    old = "def check_collapse("
    with edited(finished.house / "scripts/reedit/evaluate/collapse.py", old, f"# a remark\n\n{old}"):
        assert finished.dry_run("tables").nothing_to_do


def test_an_edit_of_the_library_reruns_what_depends_on_it_and_nothing_else(finished):
    tables = {name: count for name, count in REPORT.items() if name not in BESIDE}
    library = finished.house / "scripts/reedit"
    with edited(library / "evaluate/collapse.py", "if len(ids) < 2:", "if len(ids) <= 1:"):
        assert finished.dry_run("tables").jobs == {"check_collapse": 4, "tables": 1} | tables
    with edited(library / "evaluate/scoring.py", "success = new.mean_logp >", "success = new.mean_logp >="):
        assert finished.dry_run("tables").jobs == {"score_edits": 4, "tables": 1} | tables
    with edited(library / "settings/refusals.py", "missing, expected a value", "not there"):
        assert finished.dry_run("tables").nothing_to_do


def test_a_changed_method_reruns_its_own_runs_only(finished):
    config = changed(finished.config, methods__na_memit__neighbors__prefixed=True)
    after = {"edit_facts": 1, "score_edits": 1, "check_collapse": 1, "measure_norms": 1, "tables": 1}
    after |= {name: count for name, count in REPORT.items() if name not in BESIDE}
    assert finished.dry_run("tables", config=config).jobs == after


def test_an_added_method_runs_only_its_own_jobs(finished):
    config = changed(finished.config)
    config["runs"][0]["methods"].append("nap_memit")
    after = {"edit_facts": 1, "score_edits": 1, "check_collapse": 1, "measure_norms": 1, "tables": 1}
    after |= {name: count for name, count in REPORT.items() if name not in BESIDE}
    assert finished.dry_run("tables", config=config).jobs == after


@pytest.mark.long
def test_what_stands_for_the_paper_is_compared_with_it_and_nothing_else_is_redone(finished, again):
    assert "Nothing in this experiment stands for" in again.path("tables/comparison.md").read_text()
    names = {"models__tiny__reported_as": "gpt2-xl", "datasets__facts__reported_as": "counterfact"}
    again.config = changed(again.config, **names, methods__memit_released__reported_as="memit")
    planned = finished.dry_run("tables", config=again.config).jobs
    assert planned == {"summarise_results": 1, "render_table": 10, "tables": 1}
    outcome = again.run("tables")
    assert outcome.status == 0, outcome.output
    found = [row for row in rows(again.path("summary/comparison.parquet")) if row["measured"] is not None]
    runs = {("tiny/facts/memit", "corrected"), ("tiny/facts/memit_released", "released")}
    assert runs <= {(row["run"], row["protocol"]) for row in found}
    assert {row["model"] for row in found} == {"gpt2-xl"}
    assert "Runs of" in again.path("tables/comparison1.md").read_text()


def test_every_table_of_snakemakes_report_has_a_caption_of_its_own(again):
    outcome = again.run("--report", "report.zip")
    assert outcome.status == 0, outcome.output
    with ZipFile(again.folder / "report.zip") as report:
        pages = [report.read(name).decode() for name in report.namelist() if name.endswith((".html", ".js"))]
    shown = [path.stem for path in again.path("tables").glob("*.csv")]
    assert {"differences", "norms", "table10"} <= set(shown)
    for table in shown:
        assert any(f"<p>{TABLES[table].headline}" in page for page in pages), table


def test_norms_are_those_of_the_kept_weights(finished):
    model = load_file(finished.path("models/tiny") / "model.safetensors")
    for run, ks in ITERATIONS.items():
        found = rows(finished.path(f"norms/{run}.parquet"))
        assert [(row["k"], row["layer"]) for row in found] == [(k, layer) for k in ks for layer in (1, 2, 3)]
        for row in found:
            name = f"model.layers.{row['layer']}.mlp.down_proj.weight"
            update = model[name].double() * 0
            if row["k"]:
                update = load_file(finished.path(f"edits/{run}/weights/k{row['k']}.safetensors"))[
                    name
                ].double()
            weight = model[name].double() + update
            assert row["weight_norm"] == pytest.approx(float(weight.norm()))
            assert row["condition"] == pytest.approx(np.linalg.cond(weight.numpy()), rel=1e-4)
    summary = rows(finished.path("summary/norms.parquet"))
    assert [(row["method"], row["k"]) for row in summary] == [
        *(("memit", k) for k in range(4)),
        *(("na_memit", k) for k in range(4)),
        *(("memit_released", k) for k in range(2)),
    ]
    assert all(row["reading"] for row in summary if row["k"])
    assert "Reading" in finished.path("tables/norms.md").read_text()


@pytest.mark.long
def test_what_models_say_by_themselves_comes_on_request_and_nothing_else_is_redone(finished, again):
    again.config = changed(again.config, report__generation=True)
    made = {"generate_answers": 4, "summarise_results": 2, "render_table": 2}
    assert finished.dry_run("tables", config=again.config).jobs == made | {"tables": 1}
    outcome = again.run(*([] if HAS_ENGINE else ["tables"]))
    assert outcome.status == 0, outcome.output
    del made["render_table"]  # a copy is elsewhere, its templates by other paths: it renders all tables
    made["summarise_results"] += 1  # and compares them, what the paper reports being elsewhere, too
    assert {name: outcome.jobs[name] for name in made} == made and "score_edits" not in outcome.jobs
    for run in RUNS:
        scores, said = (rows(again.path(f"{name}/{run}.parquet")) for name in ("scores", "generations"))
        keys = ("k", "case_id", "metric", "prompt")
        assert [[row[key] for key in keys] for row in said] == [[row[key] for key in keys] for row in scores]
        for one, other in zip(scores, said, strict=True):  # greedy generation begins with what is forced
            if other["metric"] != "specificity":
                assert one["exact_match"] == other["generated"].startswith(other["answer"])
        made_by = provenance(again.path(f"generations/{run}.parquet"))
        assert made_by["model_revision"] and made_by["packages"]
    lines = list(csv.DictReader(again.path("tables/generation.csv").open()))
    assert [(line["method"], line["k"]) for line in lines][:3] == [
        ("unedited", "0"),
        ("memit", "1"),
        *[("memit", lines[2]["k"])],
    ]
    assert all(0 <= float(line["efficacy_exact"]) <= float(line["efficacy_contains"]) <= 1 for line in lines)
    assert "teacher forcing" in again.path("tables/generation.tex").read_text()
    whole = verify(again)
    assert whole.returncode == 0 and "belongs to no result" not in whole.stdout, whole.stdout
    assert again.run(*([] if HAS_ENGINE else ["tables"])).nothing_to_do


def test_norms_can_be_left_out(again):
    again.config = changed(again.config, report__norms=False)
    again.path("norms").rename(again.path("none"))
    outcome = again.dry_run("tables")
    assert outcome.status == 0 and "measure_norms" not in outcome.jobs and "norms" not in outcome.output


@pytest.mark.long
def test_a_published_list_of_eligible_cases_is_put_beside_the_filter(finished, again, tmp_path):
    cases = json.loads((Path(again.config["sources"]["tiny-facts"]["path"])).read_text())[:9]
    cases[0]["requested_rewrite"]["target_new"]["str"] = "nothing of the pool"
    (tmp_path / "published.json").write_text(json.dumps(cases))
    config = changed(
        again.config,
        sources__published={"kind": "file", "path": str(tmp_path / "published.json")},
        datasets__published={"format": "counterfact", "source": "published"},
        report__eligible=[{"model": "tiny", "pool": "facts", "published": "published"}],
    )
    planned = {
        "fetch_source": 1,
        "normalise_facts": 1,
        "summarise_results": 1,
        "render_table": 1,
        "tables": 1,
    }
    assert finished.dry_run("tables", config=config).jobs == planned
    outcome = again.run("tables", config=config)
    assert outcome.status == 0, outcome.output
    (row,) = csv.DictReader(again.path("tables/eligible.csv").open())
    kept = Counter(row["case_id"] for row in rows(again.path("neighbors/tiny/facts.parquet")) if row["kept"])
    eligible = {case for case, count in kept.items() if count >= 2}
    listed = {case["case_id"] for case in cases[1:]}
    assert (row["cases"], row["published"], row["not_in_pool"]) == ("12", "9", "1")
    assert row["both"] == str(len(eligible & listed)) and row["only_anew"] == str(len(eligible - listed))


@pytest.mark.long  # minutes; tests/edit/test_iteration.py has the loop's own
def test_an_interrupted_run_goes_on_where_it_was_and_a_forced_one_starts_afresh(finished, again):
    run = PLAIN[0]
    for place in ("edits", "finished"):
        shutil.rmtree(again.path(f"{place}/{run}"))
    for place in ("summary", "tables", "figures"):  # or the missing edits would not be missed
        shutil.rmtree(again.path(place))
    for place in ("scores", "collapse"):
        again.path(f"{place}/{run}.parquet").unlink()
    state = again.path(f"state/{run}")
    again.run_killed((state / "k1").exists, "tables")
    assert (state / "k1").exists() and not (state / "k3").exists()

    refused = again.run("tables")
    assert refused.status != 0 and "--unlock" in refused.output  # power was lost: Snakemake's own lock
    assert again.run("--unlock").status == 0
    resumed = again.run("tables")
    assert resumed.status == 0, resumed.output
    log = again.log(f"edit_facts/{run}.log")
    assert re.search("resuming after iteration [12]", log) and "k=1 OPTIMIZATION" not in log
    assert not state.exists()
    same = [*(f"edits/{run}/{name}.parquet" for name in ("targets", "iterations")), f"scores/{run}.parquet"]
    same += [f"collapse/{run}.parquet", "summary/runs.parquet", "summary/table2.parquet"]
    for place in same:
        assert timeless(again.path(place)) == timeless(finished.path(place)), place
    found, expected = (one.contents(f"edits/{run}/weights", "tables") for one in (again, finished))
    times = {name for name in expected if "table5" in name}  # Table 5 tells how long it took
    assert times and found.keys() == expected.keys()
    assert {n: found[n] for n in found.keys() - times} == {n: expected[n] for n in found.keys() - times}

    again.python = None  # as a user's jobs start
    target = f"results/edits/{run}/iterations.parquet"
    forced = again.run("--forcerun", "edit_facts", "--", target)
    assert forced.status == 0, forced.output
    log = again.log(f"edit_facts/{run}.log")
    assert "resuming" not in log and "k=1 OPTIMIZATION" in log
    assert timeless(again.path(f"edits/{run}/targets.parquet")) == timeless(
        finished.path(f"edits/{run}/targets.parquet")
    )


# -- configurations -----------------------------------------------------------------------------------------


def test_the_default_experiment_is_planned_as_it_should_be(house, tmp_path):
    outcome = Experiment(tmp_path / "elsewhere", house, {"seed": 0}).dry_run()
    assert outcome.status == 0, outcome.output
    one = dict.fromkeys(["normalise_facts", "prepare_model", "collect_moments", "filter_neighbors"], 1)
    one |= dict.fromkeys(["sample_prefixes", "sample_split"], 1)
    two = dict.fromkeys(["edit_facts", "score_edits", "check_collapse", "measure_norms"], 2)
    assert outcome.jobs == {"fetch_source": 4} | one | two | REPORT


@pytest.mark.long
def test_odd_facts_and_an_instruct_model_go_through_every_rule(again, inputs, tmp_path):
    """A model that is edited through its template, and cases that cannot be read or edited, left out."""
    shutil.copytree(inputs / "model", tmp_path / "instruct")
    (tmp_path / "instruct/chat_template.jinja").write_text(
        "On stage. {{ messages[0]['content'] }}{{ '\\n' }}"
    )
    cases = json.loads((inputs / "facts.json").read_text())[:8]
    del cases[0]["paraphrase_prompts"]
    rewrite = cases[2]["requested_rewrite"]
    cases[1]["requested_rewrite"] = {**rewrite, "target_new": {"str": "piano"}}  # and cases[2] contradicts it
    path = tmp_path / "odd.json"
    path.write_text(json.dumps(cases))
    again.config = changed(
        again.config,
        sources__odd={"kind": "file", "path": str(path)},
        sources__instruct={"kind": "folder", "path": str(tmp_path / "instruct")},
        models__chatting=again.config["models"]["tiny"] | {"source": "instruct", "chat": True},
        datasets__odd={"format": "counterfact", "source": "odd", "malformed": "drop"},
        hyperparameters__memit__chatting=again.config["hyperparameters"]["memit"]["tiny"],
        report__generation=True,
    )
    entry = {"model": "chatting", "dataset": "odd", "methods": ["memit"], "corpus": "lines", "edits": "all"}
    again.config["runs"] = [entry | {"iterations": 1, "misaligned": "drop"}]
    outcome = again.run("tables")
    assert outcome.status == 0, outcome.output
    run = "chatting/odd/memit/trial1"
    (split,) = again.path("splits/chatting/odd").iterdir()
    left_out = provenance(split)["left_out"]
    assert [(one["case_id"], one["role"]) for one in left_out] == [(102, "conflict")]
    made_by = provenance(again.path(f"edits/{run}/iterations.parquet"))
    assert made_by["left_out"] == {"not readable": 1, "conflict": 1} and made_by["edits"] == 6
    for path in (f"edits/{run}/iterations", f"scores/{run}", f"generations/{run}"):
        assert provenance(again.path(f"{path}.parquet"))["wording"] == {"chat": True}
    assert {row["case_id"] for row in rows(again.path(f"scores/{run}.parquet"))} == {101, *range(103, 108)}
    table = again.path("tables/table1.md").read_text()
    assert "Left out of odd before sampling: 1 in conflict with another, 1 not readable." in table


@pytest.mark.long
def test_more_iterations_and_another_method_repeat_nothing(again):
    entry = {"model": "tiny", "dataset": "facts", "methods": ["memit"], "corpus": "lines", "edits": 4}
    again.config["methods"] |= {"memit_once": {"algorithm": "memit", "spread_only": True}}
    runs = [PLAIN[0].replace("memit", name) for name in ("memit", "memit_once", "memit_wide")]
    run, other, _ = runs

    def edited(iterations, *methods):
        again.config["runs"] = [entry | {"iterations": iterations, "methods": list(methods)}]
        outcome = again.run(*(f"results/scores/{name}.parquet" for name in runs[: len(methods)]))
        assert outcome.status == 0, outcome.output

    def scored(name):
        """The k at which its last job measured a run's scores."""
        found = re.findall(r"k=(\d+) scores, rows", again.log(f"score_edits/{name}.log"))
        return sorted({int(k) for k in found})

    edited(3, "memit")
    at_once = [timeless(again.path(f"edits/{run}/{name}.parquet")) for name in ("targets", "iterations")]
    scores = rows(again.path(f"scores/{run}.parquet"))
    for place in (f"edits/{run}", "finished/tiny", "finished/scores"):
        shutil.rmtree(again.path(place))
    edited(2, "memit")
    assert scored(run) == [0, 1, 2]
    edited(3, "memit", "memit_once")
    log = again.log(f"edit_facts/{run}.log")
    assert "resuming after iteration 2" in log and "k=3 OPTIMIZATION" in log and "k=2 OPT" not in log
    found = [timeless(again.path(f"edits/{run}/{name}.parquet")) for name in ("targets", "iterations")]
    assert found == at_once and rows(again.path(f"scores/{run}.parquet")) == scores
    assert scored(run) == [3] and scored(other) == [2, 3], "both have the same weights at k = 1"
    log = again.log(f"edit_facts/{other}.log")
    assert f"targets of 4 edits were found for {run}" in log and "k=1 OPTIMIZATION" not in log

    moments = again.path("finished/moments/tiny/lines/2.safetensors").stat().st_ino
    again.config["methods"] |= {
        "memit_wide": {"algorithm": "memit", "hyperparameters": {"layers": [2, 3, 4]}}
    }
    entry |= {"trials": 2}
    edited(3, "memit", "memit_once", "memit_wide")
    for name in (run, other):
        log = again.log(f"edit_facts/{name}.log")
        assert "resuming after iteration 3" in log and "OPTIMIZATION, passes" not in log
    assert again.path("moments/tiny/lines/4.safetensors").exists()
    assert again.path("moments/tiny/lines/2.safetensors").stat().st_ino == moments


@pytest.mark.long
def test_sequential_editing_is_scored_along_the_way(again):
    seq = {"algorithm": "memit", "batch": 4, "checkpoints": 1}
    again.config["methods"] |= {
        "memit_seq": seq | {"protects": "others"},
        "memit_rect": seq | {"regularisers": [{"by": "rect", "keep": 0.4}]},
        "sphere_after": {"regularises": "memit_seq", "by": "rect"},
    }
    entry = {"model": "tiny", "dataset": "facts", "corpus": "lines", "edits": "all", "iterations": 2}
    again.config["runs"] = [entry | {"methods": ["memit", "memit_seq", "memit_rect", "sphere_after"]}]
    again.config = changed(again.config, report__fluency=True)
    outcome = again.run("tables")
    assert outcome.status == 0, outcome.output
    run, split = "tiny/facts/memit_seq/trial1", rows(again.path("splits/tiny/facts/allx1.parquet"))
    order = [row["case_id"] for row in sorted(split, key=itemgetter("position"))]
    weights = sorted(path.name for path in again.path(f"edits/{run}/weights").glob("k*"))
    assert weights == [f"k{k}{end}.safetensors" for k in (1, 2) for end in (".after4", ".after8", "")]
    states = {(row["k"], row["after"]) for row in rows(again.path(f"scores/{run}.parquet"))}
    assert states == {(0, None), *((k, after) for k in (1, 2) for after in (4, 8, None))}
    for name in ("collapse", "norms", "texts"):
        assert {(row["k"], row["after"]) for row in rows(again.path(f"{name}/{run}.parquet"))} == states
    for row in rows(again.path(f"scores/{run}.parquet")):
        assert order.index(row["case_id"]) < (row["after"] or len(order))
    along = rows(again.path("summary/along.parquet"))
    assert {row["method"] for row in along} == {"memit_seq", "memit_rect", "sphere_after"}
    assert [(row["k"], row["after"]) for row in along if row["method"] == "memit_seq"] == [
        *((0, 0), (2, 4), (2, 8), (2, len(order)))
    ]
    assert "All so far" in again.path("tables/along.tex").read_text()
    _check_texts(again, run, order, along)
    assert again.path("figures/along.png").stat().st_size > 10_000
    whole = verify(again)
    assert whole.returncode == 0 and "belongs to no result" not in whole.stdout, whole.stdout


def _check_texts(made, run, order, along):
    """The texts of a run, their measures in its summaries, and how they were made."""
    prompts = {row["case_id"]: row for row in rows(made.path("generation_prompts/facts.parquet"))}
    texts = rows(made.path(f"texts/{run}.parquet"))
    for row in texts:
        assert order.index(row["case_id"]) < (row["after"] or len(order))
        asked = prompts[row["case_id"]]["prompts"]
        assert all(text.startswith(prompt) for text, prompt in zip(row["texts"], asked, strict=True))
        assert len(set(row["texts"])) == len(asked) and row["fluency"] == pytest.approx(
            sum(map(fluency, row["texts"])) / len(asked)
        )
        assert 0 <= row["consistency"] <= 1
    assert [len(set(row["prompts"])) for row in prompts.values()] == [1] + [3] * (CASES - 1)
    for state in ((0, None), (2, 4), (2, None)):
        found = [row for row in texts if (row["k"], row["after"]) == state]
        written = 0 if state[0] == 0 else state[1] or len(order)
        (row,) = (one for one in along if (one["method"], one["after"]) == ("memit_seq", written))
        for name in ("fluency", "consistency"):
            assert row[name] == pytest.approx(sum(one[name] for one in found) / len(found))
            assert row[f"{name}_low"] < row[name] < row[f"{name}_high"]
    made_by = provenance(made.path(f"texts/{run}.parquet"))
    assert made_by["measures"] == {"fluency": 1, "consistency": 1} and made_by["seed"] == 0
    assert Code().digest(made.house / "scripts/generate_texts.py") in made_by.values()
    lines = list(csv.DictReader(made.path("tables/fluency.csv").open()))
    assert {line["method"] for line in lines} == {"unedited", *(row["method"] for row in along), "memit"}
    for name in ("fluency", "along"):
        table = made.path(f"tables/{name}.md").read_text()
        assert "Consistency" in table and "fluency 1" in table


@pytest.mark.long
def test_stopping_early_and_keeping_the_last_weights_still_gives_tables(again):
    again.config["keep_weights"] = "last"
    entry = {"model": "tiny", "dataset": "facts", "methods": ["memit"], "corpus": "lines", "edits": 4}
    again.config["runs"] = [entry | {"iterations": 1, "extend_to": 2, "stop": "proposed"}]
    outcome = again.run("tables")
    assert outcome.status == 0, outcome.output
    found = rows(again.path(f"edits/{PLAIN[0]}/iterations.parquet"))
    last = next((row["k"] for row in found if row["delta_p"] <= 1), 2)
    assert [row["k"] for row in found] == list(range(1, last + 1))
    kept = [p.name for p in again.path(f"edits/{PLAIN[0]}/weights").iterdir() if p.name[0] != "."]
    assert kept == [f"k{last}.safetensors"]
    assert {row["k"] for row in rows(again.path(f"scores/{PLAIN[0]}.parquet"))} == {0, last}


@pytest.mark.long
def test_every_algorithm_runs_in_both_protocols_and_assisted_in_every_way(again):
    three = {"count": 3, "prefixed": True, "choice": "first"}
    again.config["methods"] |= {
        "na_rome": {"algorithm": "rome", "neighbors": {"count": 1}},
        "rome_released": {"algorithm": "rome", "protocol": "released"},
        "nap3_pmet": {"algorithm": "pmet", "neighbors": three, "protocol": "released"},
    }
    methods = ["rome", "na_rome", "rome_released", "pmet", "na_pmet", "nap_pmet", "nap3_pmet"]
    entry = {"model": "tiny", "dataset": "facts", "corpus": "lines", "edits": 3, "iterations": 2}
    again.config["runs"] = [entry | {"methods": methods}]
    outcome = again.run("tables")
    assert outcome.status == 0, outcome.output
    for method in methods:
        run = f"tiny/facts/{method}/trial1"
        for k, row in enumerate(rows(again.path(f"edits/{run}/iterations.parquet")), start=1):
            weights = load_file(again.path(f"edits/{run}/weights/k{k}.safetensors"))
            assert len(weights) == (1 if "rome" in method else 3)
            assert row["k"] == k and row["ppl_target"] < row["ppl_initial"]
        assert {row["k"] for row in rows(again.path(f"scores/{run}.parquet"))} == {0, 1, 2}


@pytest.mark.long
def test_zsre_runs_in_both_protocols_with_a_file_for_each_trial(again, tmp_path):
    questions = [
        {
            "subject": case["requested_rewrite"]["subject"],
            "src": case["requested_rewrite"]["prompt"].format(case["requested_rewrite"]["subject"]) + "?",
            "answers": [case["requested_rewrite"]["target_new"]["str"], "nothing"],
            "alt": "never",
            "rephrase": case["paraphrase_prompts"][0],
            "loc": case["neighborhood_prompts"][0],
            "loc_ans": case["requested_rewrite"]["target_true"]["str"],
        }
        for case in tiny_facts()[:6]
    ]
    for name, part in {"first": questions[:3], "second": questions[3:]}.items():
        (tmp_path / f"{name}.json").write_text(json.dumps(part))
        again.config["sources"][name] = {"kind": "file", "path": str(tmp_path / f"{name}.json")}
    again.config["datasets"]["questions"] = {"format": "zsre", "source": ["first", "second"]}
    entry = {"model": "tiny", "dataset": "questions", "corpus": "lines", "edits": "all", "trials": 2}
    methods = ["memit", "memit_released"]
    again.config["runs"] = [entry | {"methods": methods, "iterations": 1}]
    outcome = again.run("tables")
    assert outcome.status == 0, outcome.output
    facts = rows(again.path("facts/questions.parquet"))
    assert [(fact["case_id"], fact["target_new"]) for fact in facts] == [
        (i, question["answers"][0]) for i, question in enumerate(questions)
    ]
    for method, trial in itertools.product(methods, (1, 2)):
        scores = rows(again.path(f"scores/tiny/questions/{method}/trial{trial}.parquet"))
        assert {row["case_id"] for row in scores} == set(range(3 * trial - 3, 3 * trial))
        asked = [row["prompt"] for row in scores if row["metric"] == "specificity" and row["k"] == 0]
        assert len(asked) == 3 if method == "memit" else len(asked) > 3  # token by token


@pytest.mark.long
def test_a_collapse_is_told_and_the_run_ends_with_its_tables(again, tmp_path):
    """Probabilities beyond the range of floating point, and steps that are far too long."""
    folder = tmp_path / "sharp"
    shutil.copytree(again.config["sources"]["tiny-model"]["path"], folder)
    weights = load_file(folder / "model.safetensors")
    weights["model.norm.weight"] *= 200
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
    again.config["sources"]["tiny-model"]["path"] = str(folder)
    again.config["hyperparameters"]["rome"]["tiny"] |= {"v_lr": 1e4, "clamp_norm_factor": 1e4}
    entry = {"model": "tiny", "dataset": "facts", "methods": ["rome"], "corpus": "lines", "edits": 6}
    again.config["runs"] = [entry | {"iterations": 2}]
    outcome = again.run("tables")
    assert outcome.status == 0, outcome.output
    assert "the model has collapsed" in outcome.output
    for row in rows(again.path("edits/tiny/facts/rome/trial1/iterations.parquet")):
        assert not any(math.isnan(value) for value in row.values())
    assert math.isinf(row["ppl_edited"]) and math.isinf(row["delta_p"])
    assert "inf" in again.path("tables/table1.csv").read_text()


# -- bad inputs ---------------------------------------------------------------------------------------------


def with_facts(experiment: Experiment, folder: Path, text: str) -> dict:
    """A configuration whose facts are another file."""
    (folder / "other.json").write_text(text)
    source = {"kind": "file", "path": str(folder / "other.json")}
    return changed(experiment.config, **{"sources__other": source, "datasets__facts__source": "other"})


def spoiled(experiment: Experiment, folder: Path, spoil) -> dict:
    """A configuration whose facts are spoiled."""
    cases = json.loads(Path(experiment.config["sources"]["tiny-facts"]["path"]).read_text())
    spoil(cases)
    return with_facts(experiment, folder, json.dumps(cases))


def in_run(experiment: Experiment, **values) -> dict:
    config = changed(experiment.config)
    config["runs"][1] |= values
    return config


AT_ONCE = {  # what is wrong, and what the one line must name
    "misspelt key": (
        lambda e: changed(e.config, protocoll="released"),
        "protocoll: unknown key (did you mean protocol?)",
    ),
    "misspelt inner key": (
        lambda e: changed(e.config, models__tiny__dtyp="x"),
        "models.tiny.dtyp: unknown key (did you mean dtype?)",
    ),
    "unknown model": (
        lambda e: in_run(e, model="tinny"),
        "runs[1].model: unknown model 'tinny' (did you mean tiny?)",
    ),
    "unknown dataset": (
        lambda e: in_run(e, dataset="fact"),
        "runs[1].dataset: unknown dataset 'fact' (did you mean facts?)",
    ),
    "unknown method": (
        lambda e: in_run(e, methods=["memitt"]),
        "runs[1].methods: unknown method 'memitt' (did you mean memit?)",
    ),
    "unknown corpus": (
        lambda e: in_run(e, corpus="line"),
        "runs[1].corpus: unknown corpus 'line' (did you mean lines?)",
    ),
    "missing file": (
        lambda e: changed(e.config, **{"sources__tiny-facts__path": "no/facts.json"}),
        "sources.tiny-facts.path: no such file: no/facts.json",
    ),
    "name that leaves its folder": (
        lambda e: changed(e.config, **{"models__../../evil": e.config["models"]["tiny"]}),
        "'../../evil'",
    ),
    "name that is two": (lambda e: changed(e.config, **{"methods__a/b": {"algorithm": "memit"}}), "'a/b'"),
    "same run twice": (
        lambda e: changed(e.config, runs=[*e.config["runs"], e.config["runs"][0] | {"iterations": 1}]),
        "runs[0] and runs[2] both give",
    ),
}


def asked(experiment: Experiment, config: dict) -> None:
    """The first thing that the rules do with a configuration."""
    Settings(overlaid(read_mapping(experiment.house / "config.yaml", "settings"), config), experiment.house)


@pytest.mark.parametrize("wrong", AT_ONCE)
def test_a_wrong_configuration_is_one_line(finished, monkeypatch, wrong):
    monkeypatch.chdir(finished.folder)
    asked(finished, finished.config)
    spoil, expected = AT_ONCE[wrong]
    with pytest.raises(InputError) as caught:
        asked(finished, spoil(finished))
    line = str(caught.value)
    assert expected in line and "\n" not in line


@pytest.mark.parametrize("wrong", ["misspelt key", "missing file"])
def test_a_wrong_configuration_is_the_last_line_of_the_terminal_at_once(finished, wrong):
    spoil, expected = AT_ONCE[wrong]
    outcome = finished.dry_run(config=spoil(finished))
    assert outcome.status != 0
    assert len(outcome.errors) == 1 and expected in outcome.errors[0]
    assert outcome.output.rstrip().endswith(outcome.errors[0])  # the last thing in the terminal
    assert "Traceback" not in outcome.output and "File " not in outcome.output


BEFORE_ANY_JOB = {
    "facts that are not JSON": (lambda e, f: with_facts(e, f, "[{]"), "other.json: not JSON"),
    "facts without a field": (
        lambda e, f: spoiled(e, f, lambda c: c[3]["requested_rewrite"].pop("target_new")),
        "case_id 103): lacks the field requested_rewrite.target_new.str",
    ),
    "prompt without one subject": (
        lambda e, f: spoiled(e, f, lambda c: c[3]["requested_rewrite"].update(prompt="Where?")),
        "(case_id 103): field requested_rewrite.prompt: expected exactly one {}",
    ),
    "case_id twice": (
        lambda e, f: spoiled(e, f, lambda c: c[3].update(case_id=100)),
        "case_id 100): its case_id appears twice",
    ),
    "another checksum": (
        lambda e, _: changed(e.config, **{"sources__tiny-facts__sha256": "0" * 64}),
        "json: sha256 is",
    ),
    "layer that the model lacks": (
        lambda e, _: changed(e.config, hyperparameters__memit__tiny__layers=[1, 2, 9]),
        "hyperparameters.memit.tiny: layers: found 9, the model has layers 0 to 5",
    ),
    "fewer cases than the splits need": (
        lambda e, _: in_run(e, trials=5),
        "runs[1]: 5 x 3 edits of facts, which has 12 cases",
    ),
}


@pytest.mark.parametrize("wrong", BEFORE_ANY_JOB)
@pytest.mark.long
def test_a_bad_local_file_is_one_line_before_any_job(finished, again, tmp_path, wrong):
    spoil, expected = BEFORE_ANY_JOB[wrong]
    outcome = again.run("tables", config=spoil(again, tmp_path))
    assert outcome.status != 0
    assert len(outcome.errors) == 1 and expected in outcome.errors[0], outcome.output
    assert outcome.output.rstrip().endswith(outcome.errors[0])  # the last thing in the terminal
    assert "Traceback" not in outcome.output and not outcome.jobs
    kept = ("sources", "facts", "edits", "scores", "collapse", "models", "summary", "tables")
    assert again.contents(*kept) == finished.contents(*kept) != {}


IN_A_JOB = {
    "no network": (
        lambda e, _: changed(e.config, corpora__lines__source="wikipedia-sample"),
        "source wikipedia-sample: pip could not fetch gensim==4.4.0",
    ),
    "no eligible case": (
        lambda e, f: spoiled(
            e, f, lambda c: [case["requested_rewrite"]["target_true"].update(str="Zzz") for case in c]
        ),
        "no eligible case",
    ),
}


@pytest.mark.parametrize("wrong", IN_A_JOB)
@pytest.mark.long
def test_a_bad_input_is_one_line_and_nothing_is_lost(finished, again, tmp_path, wrong):
    spoil, expected = IN_A_JOB[wrong]
    again.environment = {"PIP_INDEX_URL": "http://127.0.0.1:9/simple", "PIP_RETRIES": "0"}
    again.environment |= {"PIP_CONFIG_FILE": os.devnull, "PIP_FIND_LINKS": "", "PIP_NO_INDEX": ""}
    outcome = again.run("tables", config=spoil(again, tmp_path))
    assert outcome.status != 0
    assert len(outcome.errors) == 1 and expected in outcome.errors[0], outcome.output
    assert outcome.output.rstrip().splitlines()[-1].endswith("did not complete successfully.")
    assert outcome.errors[0] in "\n".join(outcome.output.splitlines()[-8:])
    assert "Traceback" not in outcome.output
    kept = ("edits", "scores", "collapse", "models", "summary", "tables")
    assert again.contents(*kept) == finished.contents(*kept)


@pytest.mark.long
def test_without_a_latex_engine_the_tables_come_all_the_same(again, tmp_path):
    shutil.rmtree(again.path("tables"))
    (again.folder / "reports/tables.pdf").unlink(missing_ok=True)
    again.environment = {"PATH": without("latexmk", "pdflatex", "tectonic", folder=tmp_path / "bin")}
    outcome = again.run()
    assert outcome.status != 0 and "Traceback" not in outcome.output
    assert len(outcome.errors) == 1 and outcome.errors[0].startswith("no LaTeX engine found: install latexmk")
    found = {p.name for p in again.path("tables").iterdir()}
    names = [*(f"table{n}" for n in NUMBERS), "comparison", "differences", "norms"]
    assert found == {f"{name}.{end}" for name in names for end in ("tex", "csv", "md")}


@pytest.mark.long
def test_a_full_disk_is_one_line_and_the_run_goes_on_later(finished, again):
    run, small = PLAIN[0], again.path("edits/tiny/facts/memit")
    shutil.rmtree(small)
    small.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=40k", "none", small], capture_output=True, text=True, check=False
    )
    if mounted.returncode:
        pytest.skip(f"no file system of a few kilobytes can be mounted here: {mounted.stderr.strip()}")
    target = f"results/edits/{run}/iterations.parquet"
    try:
        outcome = again.run("--", target)
        assert outcome.status != 0 and "Traceback" not in outcome.output
        assert len(outcome.errors) == 1 and "No space left on device" in outcome.errors[0], outcome.output
    finally:
        subprocess.run(["umount", small], check=True)
    outcome = again.run("--", target)
    assert outcome.status == 0, outcome.output
    assert "resuming after iteration 3" in again.log(f"edit_facts/{run}.log")
    assert timeless(again.path(f"edits/{run}/targets.parquet")) == timeless(
        finished.path(f"edits/{run}/targets.parquet")
    )


# -- as a module, and once more ------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def reused(root, house, inputs):
    """The same experiment once more, by another workflow that uses this one as a module with a prefix.

    Its results, and the outcome of its run.
    """
    experiment = Experiment(
        root / "another/workflow", root / "another", tiny_config(inputs), rule_prefix="reedit_"
    )
    experiment.folder.mkdir(parents=True)
    for name in ("facts.json", "texts.json"):  # beside that workflow, told by relative paths
        shutil.copy(inputs / name, experiment.folder / name)
        source = f"tiny-{name.removesuffix('.json')}"
        experiment.config["sources"][source]["path"] = name
    experiment.config = {"editing": experiment.config}
    (root / "another/Snakefile").write_text(f"""
module reedit:
    snakefile: {str(house / "Snakefile")!r}
    config: config["editing"]
    prefix: "edited"

use rule * from reedit as reedit_*

# what Snakemake would not submit to a cluster; without one it calls every job local
print("local rules:", *workflow._localrules)

rule of_my_own:
    default_target: True
    input: "edited/results/tables/table1.md", rules.reedit_tables.input, rules.reedit_measurements.input
    output: "mine.md"
    shell: "cp {{input[0]:q}} {{output}}"
""")
    outcome = experiment.run()
    assert outcome.status == 0, outcome.output
    return experiment.folder / "edited/results", outcome


@pytest.mark.long
def test_another_workflow_uses_it_as_a_module_under_a_prefix(finished, reused):
    reused, _ = reused
    for name in ("table1.md", "differences.csv", "comparison.tex"):
        found, expected = (folder / "tables" / name for folder in (reused, finished.path("")))
        assert found.read_text() == expected.read_text()
    folder = reused.parents[1]
    assert (folder / "mine.md").read_text() == (reused / "tables/table1.md").read_text()
    assert sorted(p.name for p in folder.iterdir() if p.name[0] != ".") == [
        *("edited", "facts.json", "mine.md", "texts.json")
    ]


@pytest.mark.long
def test_in_another_workflow_too_downloads_and_tables_stay_off_the_compute_nodes(reused):
    _, outcome = reused
    (told,) = set(re.findall("^local rules: (.*)$", outcome.output, re.M))
    local = set(told.split())
    assert {"reedit_fetch_source", "reedit_render_table", "reedit_draw_figure"} <= local
    assert not local & {"reedit_prepare_model", "reedit_edit_facts", "reedit_score_edits"}


@pytest.mark.long
def test_two_runs_with_one_seed_give_the_same_tables(finished, reused):
    reused, _ = reused
    found = (path.relative_to(reused) for path in reused.rglob("*.parquet"))
    # those are named by the code, which was edited
    places = sorted(place for place in found if place.parts[0] != "finished")
    kinds = {place.parts[0] for place in places}
    assert kinds >= {"facts", "neighbors", "splits", "edits", "scores", "summary"}
    for place in places:
        assert timeless(reused / place) == timeless(finished.path(str(place))), place
    for place in sorted(path.relative_to(reused) for path in reused.rglob("*.safetensors")):
        if place.parts[0] == "state":  # likewise
            continue
        found, expected = load_file(reused / place), load_file(finished.path(str(place)))
        assert found.keys() == expected.keys()
        assert all(tensor.equal(expected[name]) for name, tensor in found.items()), place


# -- files that go wrong, and two runs at once ---------------------------------------------------------------


def cut(path: Path) -> None:
    """Leave the first half of a file, as a new file: folders of models share theirs."""
    half = path.read_bytes()[: path.stat().st_size // 2]
    path.unlink()
    path.write_bytes(half)


@pytest.mark.long
def test_what_was_damaged_is_named_deleted_and_made_anew_by_a_plain_rerun(finished, again):
    again.command()  # writes its overlay
    whole = verify(again)
    assert whole.returncode == 0 and whole.stdout.endswith(" read: nothing is bad\n"), whole.stderr
    assert "belongs to no result" not in whole.stdout  # what is new has to be told to verification.py
    damaged = [f"scores/{RELEASED[0]}.parquet", f"edits/{RELEASED[1]}/weights/k1.safetensors"]
    for place in damaged:
        cut(again.path(place))
    named = verify(again)
    assert named.returncode == 1 and "Traceback" not in named.stderr
    lines = [line for line in named.stdout.splitlines() if "; delete " in line]
    assert len(lines) == 2 and all(any(f"results/{place}: " in line for line in lines) for place in damaged)
    assert verify(again, "--delete").returncode == 1
    assert not any(again.path(place).exists() for place in damaged)
    outcome = again.run("measurements")
    assert outcome.status == 0, outcome.output
    jobs = {"edit_facts": 1, "score_edits": 2, "check_collapse": 1, "measurements": 1}
    jobs |= {"summarise_runs": 1, "measure_norms": 1, "summarise_results": 5}
    assert outcome.jobs == jobs
    for run in RELEASED:
        assert again.contents(f"edits/{run}/weights") == finished.contents(f"edits/{run}/weights") != {}
        for place in (f"scores/{run}.parquet", f"edits/{run}/targets.parquet"):
            assert timeless(again.path(place)) == timeless(finished.path(place))
    assert verify(again).returncode == 0


@pytest.mark.long
def test_nothing_is_verified_while_a_run_is_at_work(again):
    again.command()
    locks = again.folder / ".snakemake/locks"
    locks.mkdir(exist_ok=True)
    (locks / "0.output.lock").touch()
    refused = verify(again, "--delete")
    assert refused.returncode == 1 and refused.stderr.startswith("verify: another run is at work")
    assert len(refused.stderr.splitlines()) == 1


@pytest.mark.long
def test_a_damaged_source_is_named_by_its_sha256_and_fetched_again_when_needed(again):
    again.command()
    cut(again.path("sources/tiny-facts/facts.json"))
    named = verify(again, "--delete")
    assert "results/sources/tiny-facts: facts.json: sha256 is " in named.stdout
    outcome = again.run("--forcerun", "normalise_facts", "--", "results/facts/facts.parquet")
    assert outcome.status == 0 and outcome.jobs == {"fetch_source": 1, "normalise_facts": 1}, outcome.output
    assert verify(again).returncode == 0


@pytest.mark.parametrize(
    ("place", "target"),
    [
        ("facts/facts.parquet", "results/neighbors/tiny/facts.parquet"),
        (f"scores/{PLAIN[0]}.parquet", "results/summary/runs.parquet"),
        (f"edits/{PLAIN[0]}/iterations.parquet", "results/summary/runs.parquet"),
    ],
)
@pytest.mark.long
def test_a_damaged_table_is_one_line_in_a_rerun_without_verification(again, place, target):
    cut(again.path(place))
    outcome = again.run("--", target)
    assert outcome.status != 0 and "Traceback" not in outcome.output
    (line,) = outcome.errors
    assert line.startswith(f"results/{place}: not readable as Parquet") and line.endswith(
        "`make verify` says how it is made anew"
    )


@pytest.mark.long
def test_a_second_run_in_the_folder_stops_and_harms_nothing(finished, again):
    target = f"results/edits/{RELEASED[0]}/targets.parquet"
    first = again.start("--forcerun", "edit_facts", "--", target)
    locks = again.folder / ".snakemake/locks"
    deadline = time.monotonic() + 60
    while not (locks.is_dir() and any(locks.iterdir())) and time.monotonic() < deadline:
        time.sleep(0.02)
    second = again.run("--", target)
    output, _ = first.communicate(timeout=120)
    assert second.status != 0 and "Directory cannot be locked" in second.output
    assert "Traceback" not in second.output and not second.jobs
    assert first.returncode == 0, output
    place = f"edits/{RELEASED[0]}/targets.parquet"
    assert timeless(again.path(place)) == timeless(finished.path(place))


def several_facts(count: int) -> list[dict]:
    """Cases in MQuAKE's form made of tiny facts, every second one of two, with a question on what follows."""
    facts = [case["requested_rewrite"] for case in tiny_facts()[: count + count // 2]]
    cases = []
    for number in range(count):
        own = [facts.pop(0) for _ in range(1 + number % 2)]
        hops = [
            {
                "question": f"{one['prompt'].format(one['subject'])}?",
                "cloze": one["prompt"].format(one["subject"]),
                "answer": one["target_new"]["str"],
                "answer_alias": [],
            }
            for one in own
        ]
        rest = {
            "question": "Rome lies in",
            "cloze": "Rome lies in",
            "answer": "Italy",
            "answer_alias": ["it"],
        }
        cases.append(
            {
                "case_id": 10 * number,
                "requested_rewrite": [one | {"question": f"Of {one['subject']}"} for one in own],
                "questions": ["The old town of Rome lies in", "Who lives in Rome"],
                "new_answer": "Italy",
                "new_answer_alias": ["Rome"],
                "new_single_hops": [*hops, rest],
            }
        )
    return cases


@pytest.mark.long
def test_facts_of_one_case_are_edited_together_and_groups_are_asked_of_them(again, tmp_path):
    path = tmp_path / "several.json"
    path.write_text(json.dumps(several_facts(6)))
    again.config = changed(
        again.config,
        sources__several={"kind": "file", "path": str(path)},
        datasets__several={"format": "mquake", "source": "several"},
    )
    again.config["methods"] |= {"memit_2": {"algorithm": "memit", "batch": 2, "checkpoints": 2}}
    entry = {"model": "tiny", "dataset": "several", "methods": ["memit", "memit_2"], "corpus": "lines"}
    again.config["runs"] = [entry | {"edits": 7, "iterations": 1, "misaligned": "drop"}]
    outcome = again.run("tables")
    assert outcome.status == 0, outcome.output
    items = rows(again.path("groups/several.parquet"))
    assert [(one["case_id"], one["group"], one["item"]) for one in items[:2]] == [
        (0, "multi_hop", i) for i in (0, 1)
    ]
    assert provenance(again.path("facts/several.parquet"))["together"] == [[n, n + 51] for n in (10, 30, 50)]
    (split,) = again.path("splits/tiny/several").iterdir()
    sampled = [row["case_id"] for row in rows(split)]
    assert len(sampled) == 7
    for case_id in sampled:
        if case_id > 50:
            assert sampled[sampled.index(case_id) - 1] == case_id - 51
    asked = rows(again.path("portability/tiny/several/memit_2/trial1.parquet"))
    cases = [case_id for case_id in sampled if case_id <= 50]
    at_end = [row for row in asked if row["after"] is None]
    assert [row["case_id"] for row in at_end if row["k"] == 0] == [n for n in cases for _ in (0, 1)]
    assert {row["premise_known"] for row in at_end if row["k"] == 0} <= {True, False}
    along = {row["after"]: [] for row in asked if row["after"] is not None}
    for row in asked:
        along.get(row["after"], []).append(row["case_id"])
    assert along and all(set(found) <= set(sampled[:after]) for after, found in along.items())
    table = again.path("tables/portability.md").read_text()
    assert "multi hop" in table and "portability 1" in table, "a group, and the measure's version"
